import "./app/afterEarlyPaint";
import "@fontsource-variable/manrope";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/App";
import { restoreChildTheme } from "./app/childTheme";
import { setUpDevice } from "./app/device";
import { startNavigation } from "./focus";
import { setLanguage } from "./i18n";
import "./ui/base.css";
import "./ui/page.css";

setUpDevice();
restoreChildTheme();
startNavigation();
void setLanguage(navigator.language);

const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
