// xterm.js's DOM renderer makes <style> elements and sets style attributes, which our content security
// policy refuses. Both have a twin that the policy allows, because only a running script can use it: constructed style
// sheets, and the CSS object model. These two functions put the twins in their place.

/** Runs `make`; a <style> element that it creates is backed by a constructed style sheet instead. */
export function withConstructedStyles<T>(make: () => T): T {
  const original = document.createElement;
  const create = (name: string, options?: ElementCreationOptions): HTMLElement =>
    name === "style" ? constructedStyle() : original.call(document, name, options);
  document.createElement = create as typeof document.createElement;
  try {
    return make();
  } finally {
    // The method is the prototype's again.
    delete (document as { createElement?: unknown }).createElement;
  }
}

/** An element that can be appended and removed as a <style> would be, and whose text is a style sheet. */
function constructedStyle(): HTMLElement {
  const element = document.createElementNS("http://www.w3.org/1999/xhtml", "template") as HTMLElement;
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", { set: (css: string) => sheet.replaceSync(css), get: () => "" });
  element.remove = () => {
    Element.prototype.remove.call(element);
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
  };
  return element;
}

/** Lets spans take a style attribute by way of the object model; the renderer colours its cells so. */
export function allowSpanStyles(): void {
  const original = HTMLSpanElement.prototype.setAttribute;
  HTMLSpanElement.prototype.setAttribute = function (name: string, value: string): void {
    if (name === "style") this.style.cssText = value;
    else original.call(this, name, value);
  };
}
