import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// In development the API, the artwork and the manifests come from a Matinee running beside it.
const gateway = process.env.MATINEE_GATEWAY ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    // Everything is served compressed by the gateway; a source map is for developers, who have the sources.
    sourcemap: false,
    manifest: true,
    chunkSizeWarningLimit: 700,
    // Fonts stay files: inlined, every subset would be downloaded by everyone.
    assetsInlineLimit: 0,
    // What the first page shares with others is one file: the entry, which waits for the early billboard, cannot have it.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: "shared", minShareCount: 2 }] } } },
  },
  server: { proxy: { "/api": gateway, "/art": gateway } },
});
