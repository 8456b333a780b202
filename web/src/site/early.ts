// Runs before the first paint: the chosen theme and text size are there from the start.

import { apply, settings } from "./settings.ts";

document.documentElement.classList.add("js");
apply(settings());
