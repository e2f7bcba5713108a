// The values of a widget's controls.

/** Whether an element is a control with a value. */
export function isControl(element) {
  return ["INPUT", "TEXTAREA", "SELECT"].includes(element.nodeName);
}

/** The controls that belong to an element: itself, or those in it, such as the options of a radio group. */
export function controlsOf(element) {
  return isControl(element) ? [element] : [...element.querySelectorAll("input, textarea, select")];
}

/** Gives a control the value of its description. */
export function resetValue(control) {
  if (isSwitch(control)) writeValue(control, control.defaultChecked);
  else if (control.nodeName === "SELECT") {
    const described = [...control.options].findIndex((option) => option.defaultSelected);
    if (control.selectedIndex !== Math.max(described, 0)) control.selectedIndex = Math.max(described, 0);
  } else writeValue(control, control.defaultValue);
}

/** What a control is set to. */
export function readValue(control) {
  return isSwitch(control) ? control.checked : control.value;
}

/** Sets a control; one that is set to the value already keeps its selection. */
export function writeValue(control, value) {
  if (readValue(control) === value) return;
  if (isSwitch(control)) control.checked = value;
  else control.value = value;
}

/** The values of named controls, for an action: those of the form that `source` is in, or its own. */
export function valuesFor(source) {
  const values = {};
  for (const control of sentWith(source)) {
    if (!control.name || (control.type === "radio" && !control.checked)) continue;
    values[control.name] = control.type === "checkbox" ? control.checked : control.value;
  }
  return values;
}

/** The controls whose values an action of `source` carries. */
export function sentWith(source) {
  const form = source.closest("form");
  return form ? [...form.elements].filter(isControl) : controlsOf(source);
}

function isSwitch(control) {
  return control.type === "checkbox" || control.type === "radio";
}
