/** Delays the modules that are imported after this one. */
import { waitForEarlyPaint } from "../api/early";

await waitForEarlyPaint();
