import { bootstrapApplication } from "@angular/platform-browser";
import { provideZonelessChangeDetection } from "@angular/core";

import { Tasks } from "./tasks";

bootstrapApplication(Tasks, { providers: [provideZonelessChangeDetection()] }).catch(console.error);
