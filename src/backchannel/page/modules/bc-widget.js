// A widget: the agent's own small interface, drawn from its description with the page's own controls.
import { el, setAttribute } from "./dom.js";
import { icon, taskIcon } from "./icons.js";
import { renderMarkdown } from "./markdown.js";
import { actions, patch } from "./widget-patch.js";
import { controlsOf, readValue, resetValue, sentWith, valuesFor, writeValue } from "./widget-values.js";

const MAX_DEPTH = 30;

export class BcWidget extends HTMLElement {
  #description = null;
  #conversation = null;
  #itemId = null;
  // Controls with input that was not sent.
  #edited = new WeakSet();
  // The values of controls with an action as the server has them, if they are not those of the description.
  #accepted = new WeakMap();
  // The control that lost the focus because it cannot be used now.
  #focused = null;

  constructor() {
    super();
    this.addEventListener("input", ({ target }) => this.#markEdited(target));
    this.addEventListener("change", ({ target }) => this.#changed(target));
    this.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.#act(actions.get(button)?.click, button);
    });
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#act(actions.get(event.target)?.submit, event.target);
    });
  }

  update(entry, view) {
    this.#conversation = view.conversation;
    this.#itemId = entry.item.id;
    const description = JSON.stringify(entry.item.widget);
    if (description !== this.#description) {
      this.#description = description;
      this.#accepted = new WeakMap();
      const drawn = el("div", { class: "widget" }, render(entry.item.widget, 0));
      if (this.firstElementChild) patch(this.firstElementChild, drawn, this.#edited);
      else this.append(drawn);
    }
    this.#lock();
  }

  // What sends something cannot be used while nothing can be sent.
  #lock() {
    const { running, closedReason } = this.#conversation;
    const locked = running || closedReason !== null;
    const { activeElement } = document;
    for (const control of this.querySelectorAll("button, input, textarea, select")) {
      if (control.closest(".md")) continue;
      const sends = control.localName === "button" || control.dataset.sends !== undefined;
      setAttribute(control, "disabled", (locked && sends) || control.dataset.off !== undefined);
    }
    if (this.contains(activeElement) && activeElement.disabled) this.#focused = activeElement;
    else if (this.#focused && !this.#focused.disabled) {
      if (document.activeElement === document.body) this.#focused.focus({ preventScroll: true });
      this.#focused = null;
    }
  }

  #markEdited(target) {
    // To choose an option of a group is to change the others.
    for (const control of controlsOf(target.closest("[role=radiogroup]") ?? target)) this.#edited.add(control);
  }

  async #changed(target) {
    this.#markEdited(target);
    const source = target.closest("[role=radiogroup]") ?? target;
    const action = actions.get(source)?.change;
    if (!action?.type) return;
    const controls = controlsOf(source);
    const values = controls.map(readValue);
    const accepted = await this.#act(action, source);
    controls.forEach((control, index) => {
      if (accepted) {
        this.#accepted.set(control, values[index]);
        return;
      }
      this.#edited.delete(control);
      if (this.#accepted.has(control)) writeValue(control, this.#accepted.get(control));
      else resetValue(control);
    });
  }

  // Whether the action was accepted. It carries the values of the form, or of the card, that it was used in.
  async #act(action, source) {
    if (!action?.type) return false;
    const values = valuesFor(source);
    const payload = Object.keys(values).length > 0 ? { ...action.payload, ...values } : (action.payload ?? null);
    if (action.handler === "client") {
      document.dispatchEvent(new CustomEvent("backchannel:widget-action", { detail: { type: action.type, payload } }));
      return true;
    }
    const sent = sentWith(source).filter((control) => this.#edited.delete(control));
    const request = this.#conversation.act(this.#itemId, { type: action.type, payload });
    this.#lock();
    const accepted = await request;
    // A refusal that comes before the next frame changes nothing that this element would be drawn again for.
    this.#lock();
    if (!accepted) for (const control of sent) this.#edited.add(control);
    return accepted;
  }
}

function render(component, depth) {
  if (!component || typeof component !== "object" || depth > MAX_DEPTH) return null;
  if (Array.isArray(component)) return component.map((child) => render(child, depth));
  const draw = Object.hasOwn(COMPONENTS, component.type) ? COMPONENTS[component.type] : unknown;
  const element = draw(component, depth + 1);
  const key = component.key ?? component.id;
  if (element instanceof Element && typeof key === "string") element.dataset.key = key;
  return element;
}

const children = (component, depth) => {
  const list = Array.isArray(component.children) ? component.children : [component.children];
  return list.map((child) => render(child, depth));
};

// `on` is {click, change, submit}: what the element sends.
function withActions(element, on) {
  actions.set(element, on);
  return element;
}

const box = (kind) => (component, depth) =>
  withActions(
    el(
      component.type === "Form" ? "form" : "div",
      { class: `w-box w-${kind}`, "data-align": component.align, "data-justify": component.justify },
      children(component, depth),
    ),
    { submit: component.onSubmitAction },
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
  ListView: (component, depth) => el("ul", { class: "panel w-list" }, children(component, depth)),
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
  Input: (component) => field(component, "input", { type: component.inputType ?? "text", value: component.defaultValue }),
  Textarea: (component) => field(component, "textarea", { rows: component.rows ?? 3 }, component.defaultValue),
  DatePicker: (component) => field(component, "input", { type: "date", value: component.defaultValue }),
  Select: select,
  RadioGroup: radioGroup,
};

function unknown(component) {
  return el("p", { class: "muted" }, `This part (${String(component.type)}) cannot be shown here.`);
}

function card(component, depth) {
  const footer = [component.confirm, component.cancel]
    .filter(Boolean)
    .map(({ label, action }, index) => actionButton(label, index === 0 && component.confirm ? "primary" : "", action));
  const status = component.status?.text ? el("p", { class: "w-caption" }, component.status.text) : null;
  return el(
    component.asForm ? "form" : "div",
    { class: "panel w-card", "data-size": component.size },
    status,
    children(component, depth),
    footer.length > 0 ? el("div", { class: "form-buttons" }, footer) : null,
  );
}

function listItem(component, depth) {
  const content = children(component, depth);
  const action = component.onClickAction;
  if (!action) return el("li", { class: "w-list-item" }, content);
  const row = el("button", { type: "button", class: "w-list-button" }, content);
  return el("li", {}, withActions(row, { click: action }));
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

function button(component) {
  const primary = component.style === "primary" || component.color === "primary";
  const style = primary ? "primary" : component.color === "danger" ? "danger" : "";
  const control = actionButton(component.label ?? "", style, component.onClickAction);
  if (component.submit) control.type = "submit";
  if (component.disabled) control.dataset.off = "";
  const picture = component.iconStart ? taskIcon(component.iconStart) : null;
  if (picture) control.prepend(picture);
  if (!component.label) control.setAttribute("aria-label", component.iconStart ?? "Button");
  return control;
}

function actionButton(label, style, action) {
  return withActions(el("button", { type: "button", class: `button ${style}` }, label), { click: action });
}

// Attributes of a control: whether it is off, and whether a change of it is sent to the server.
function state({ disabled, onChangeAction: action }) {
  return { "data-off": Boolean(disabled), "data-sends": Boolean(action?.type) && action.handler !== "client" };
}

function checkbox(component) {
  const control = el("input", {
    type: "checkbox",
    name: component.name,
    checked: component.defaultChecked,
    ...state(component),
  });
  withActions(control, { change: component.onChangeAction });
  return el("label", { class: "option" }, control, el("span", {}, component.label ?? ""));
}

function field(component, tag, attributes, text = null) {
  const shared = {
    class: "field",
    id: component.name,
    name: component.name,
    placeholder: component.placeholder,
    "aria-label": component.placeholder ?? component.name,
    ...state(component),
  };
  return withActions(el(tag, { ...attributes, ...shared }, text), { change: component.onChangeAction });
}

function select(component) {
  const options = (component.options ?? []).map(({ label, value }) =>
    el("option", { value, selected: Boolean(component.defaultValue) && value === component.defaultValue }, label),
  );
  const label = component.placeholder ?? component.name;
  const attributes = { class: "field", name: component.name, "aria-label": label, ...state(component) };
  return withActions(el("select", attributes, options), { change: component.onChangeAction });
}

function radioGroup(component) {
  const options = (component.options ?? []).map(({ label, value }) => {
    const checked = value === component.defaultValue;
    const control = el("input", { type: "radio", name: component.name, value, checked, ...state(component) });
    return el("label", { class: "option" }, control, el("span", {}, label));
  });
  const group = el("div", { role: "radiogroup", "aria-label": component.ariaLabel ?? component.name }, options);
  return withActions(group, { change: component.onChangeAction });
}

customElements.define("bc-widget", BcWidget);
