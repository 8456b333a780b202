// The pages' one script: the parts that every page has, and, on a lesson, the lesson.

import "./site/settings-dialog.ts";
import "./site/shortcuts.ts";

if (document.querySelector("[data-slug]")) await import("./lesson/page.ts");
