// A widget: the agent's own small interface, drawn from its description with the page's own controls.
import { el, setAttribute } from "./dom.js";
import { icon, taskIcon } from "./icons.js";
import { renderMarkdown } from "./markdown.js";

const MAX_DEPTH = 30;

export class BcWidget extends HTMLElement {
  #version = null;

  update(entry, view) {
    if (this.#version !== entry.version) {
      this.#version = entry.version;
      const context = { act: (action) => view.conversation.act(entry.item.id, action), depth: 0 };
      this.replaceChildren(el("div", { class: "widget" }, render(entry.item.widget, context)));
    }
    const locked = view.running || view.conversation.closedReason !== null;
    for (const control of this.querySelectorAll("button")) {
      setAttribute(control, "disabled", locked || control.dataset.off !== undefined);
    }
  }
}

function render(component, context) {
  if (!component || typeof component !== "object" || context.depth > MAX_DEPTH) return null;
  if (Array.isArray(component)) return component.map((child) => render(child, context));
  const inner = { ...context, depth: context.depth + 1 };
  const draw = Object.hasOwn(COMPONENTS, component.type) ? COMPONENTS[component.type] : unknown;
  return draw(component, inner);
}

const children = (component, context) => {
  const list = Array.isArray(component.children) ? component.children : [component.children];
  return list.map((child) => render(child, context));
};

const box = (kind) => (component, context) =>
  el(
    component.type === "Form" ? "form" : "div",
    {
      class: `w-box w-${kind}`,
      "data-align": component.align,
      "data-justify": component.justify,
      onsubmit: (event) => {
        event.preventDefault();
        submit(component.onSubmitAction, event.currentTarget, context);
      },
    },
    children(component, context),
  );

const text = (tag, kind) => (component) =>
  el(
    tag,
    {
      class: `w-${kind}`,
      "data-size": component.size,
      "data-weight": component.weight,
      "data-color": typeof component.color === "string" ? component.color : null,
      "data-struck": Boolean(component.lineThrough),
      "data-italic": Boolean(component.italic),
    },
    String(component.value ?? ""),
  );

const COMPONENTS = {
  Card: card,
  Basic: box("col"),
  ListView: (component, context) => el("ul", { class: "panel w-list" }, children(component, context)),
  ListViewItem: listItem,
  Box: box("col"),
  Col: box("col"),
  Row: box("row"),
  Form: box("col"),
  Transition: box("col"),
  Text: text("p", "text"),
  Title: text("h3", "title"),
  Caption: text("p", "caption"),
  Label: (component) => el("label", { class: "w-label", for: component.fieldName }, component.value ?? ""),
  Markdown: (component) => renderMarkdown(component.value),
  Badge: ({ color, label }) => el("span", { class: "w-badge", "data-color": color ?? "secondary" }, label ?? ""),
  Divider: () => el("hr", { class: "w-divider" }),
  Spacer: () => el("span", { class: "w-spacer" }),
  Icon: (component) => taskIcon(component.name) ?? icon("dot"),
  Image: image,
  Button: button,
  Checkbox: checkbox,
  Input: (component) => field(component, "input", { type: component.inputType ?? "text" }),
  Textarea: (component) => field(component, "textarea", { rows: component.rows ?? 3 }),
  DatePicker: (component) => field(component, "input", { type: "date" }),
  Select: select,
  RadioGroup: radioGroup,
};

function unknown(component) {
  return el("p", { class: "muted" }, `This part (${String(component.type)}) cannot be shown here.`);
}

function card(component, context) {
  const footer = [component.confirm, component.cancel]
    .filter(Boolean)
    .map(({ label, action }, index) =>
      actionButton(label, index === 0 && component.confirm ? "primary" : "", action, context),
    );
  const status = component.status?.text ? el("p", { class: "w-caption" }, component.status.text) : null;
  return el(
    component.asForm ? "form" : "div",
    { class: "panel w-card", "data-size": component.size, onsubmit: (event) => event.preventDefault() },
    status,
    children(component, context),
    footer.length > 0 ? el("div", { class: "form-buttons" }, footer) : null,
  );
}

function listItem(component, context) {
  const content = children(component, context);
  const action = component.onClickAction;
  if (!action) return el("li", { class: "w-list-item" }, content);
  const row = el("button", { type: "button", class: "w-list-button" }, content);
  row.addEventListener("click", () => submit(action, row, context));
  return el("li", {}, row);
}

function image(component) {
  // Only the page's own origin and data addresses can be shown; the rest would be blocked anyway.
  const source = String(component.src ?? "");
  const shown = source.startsWith("data:image/") || isOwnAddress(source);
  if (!shown) return el("p", { class: "muted" }, component.alt || "Image");
  return el("img", { class: "w-image", src: source, alt: component.alt ?? "" });
}

function isOwnAddress(source) {
  return URL.canParse(source, document.baseURI) && new URL(source, document.baseURI).origin === location.origin;
}

function button(component, context) {
  const primary = component.style === "primary" || component.color === "primary";
  const style = primary ? "primary" : component.color === "danger" ? "danger" : "";
  const control = actionButton(component.label ?? "", style, component.onClickAction, context);
  if (component.submit) control.type = "submit";
  if (component.disabled) control.dataset.off = "";
  const picture = component.iconStart ? taskIcon(component.iconStart) : null;
  if (picture) control.prepend(picture);
  if (!component.label) control.setAttribute("aria-label", component.iconStart ?? "Button");
  return control;
}

function actionButton(label, style, action, context) {
  const control = el("button", { type: "button", class: `button ${style}` }, label);
  control.addEventListener("click", () => submit(action, control, context));
  return control;
}

function checkbox(component, context) {
  const control = el("input", {
    type: "checkbox",
    name: component.name,
    checked: component.defaultChecked,
    disabled: component.disabled,
  });
  control.addEventListener("change", () => submit(component.onChangeAction, control, context));
  return el("label", { class: "option" }, control, el("span", {}, component.label ?? ""));
}

function field(component, tag, attributes) {
  const control = el(tag, {
    ...attributes,
    class: "field",
    id: component.name,
    name: component.name,
    placeholder: component.placeholder,
    "aria-label": component.placeholder ?? component.name,
    disabled: component.disabled,
  });
  control.value = component.defaultValue ?? "";
  return control;
}

function select(component, context) {
  const options = (component.options ?? []).map(({ label, value }) => el("option", { value }, label));
  const attributes = { class: "field", name: component.name, "aria-label": component.placeholder ?? component.name };
  const control = el("select", attributes, options);
  if (component.defaultValue) control.value = component.defaultValue;
  control.addEventListener("change", () => submit(component.onChangeAction, control, context));
  return control;
}

function radioGroup(component, context) {
  const options = (component.options ?? []).map(({ label, value }) =>
    el(
      "label",
      { class: "option" },
      el("input", { type: "radio", name: component.name, value, checked: value === component.defaultValue }),
      el("span", {}, label),
    ),
  );
  const group = el("div", { role: "radiogroup", "aria-label": component.ariaLabel ?? component.name }, options);
  group.addEventListener("change", () => submit(component.onChangeAction, group, context));
  return group;
}

// An action carries the values of the form, or of the card, that it was used in.
function submit(action, source, context) {
  if (!action?.type) return;
  const scope = source.closest("form");
  const values = {};
  for (const control of scope?.elements ?? []) {
    if (!control.name || (control.type === "radio" && !control.checked)) continue;
    values[control.name] = control.type === "checkbox" ? control.checked : control.value;
  }
  if (source.name && !scope) values[source.name] = source.type === "checkbox" ? source.checked : source.value;
  const payload = Object.keys(values).length > 0 ? { ...action.payload, ...values } : (action.payload ?? null);
  if (action.handler === "client") {
    document.dispatchEvent(new CustomEvent("backchannel:widget-action", { detail: { type: action.type, payload } }));
    return;
  }
  context.act({ type: action.type, payload });
}

customElements.define("bc-widget", BcWidget);
