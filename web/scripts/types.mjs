/** Makes src/api/schema.d.ts from the gateway's own description, openapi.json. */
import { writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const description = new URL("../openapi.json", import.meta.url);
const target = new URL("../src/api/schema.d.ts", import.meta.url);
await writeFile(target, `// Made from openapi.json by \`npm run types\`.\n${astToString(await openapiTS(description))}`);
console.log("src/api/schema.d.ts made from openapi.json");
