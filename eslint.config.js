// The rules for the JavaScript of the web interface and of exported sites: no undeclared names, no unused code.

import js from "@eslint/js";
import globals from "globals";

const rules = {
  ...js.configs.recommended,
  linterOptions: { reportUnusedDisableDirectives: "error" },
  rules: {
    ...js.configs.recommended.rules,
    eqeqeq: "error",
    "no-unused-expressions": "error",
    "no-var": "error",
    "prefer-const": "error",
  },
};

export default [
  {
    ...rules,
    files: ["src/homescribe/web/static/*.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
  },
  {
    ...rules,
    files: ["src/homescribe/static_site/assets/*.js"],  // opened from a disk, where modules are not loaded
    languageOptions: { ecmaVersion: 2024, sourceType: "script", globals: globals.browser },
  },
];
