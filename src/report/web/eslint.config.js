import { fileURLToPath } from "node:url";
import tseslint from "typescript-eslint";

export default tseslint.config(
  ...tseslint.configs.recommendedTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { project: "./tsconfig.json", tsconfigRootDir: fileURLToPath(new URL(".", import.meta.url)) } },
    rules: {
      eqeqeq: "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Text from files is text: use h() of dom.ts." },
        { property: "outerHTML", message: "Text from files is text: use h() of dom.ts." },
        { property: "insertAdjacentHTML", message: "Text from files is text: use h() of dom.ts." },
      ],
      "max-lines": ["error", 500],
      "@typescript-eslint/no-floating-promises": ["error", { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: ["test", "before", "after", "afterEach"] }] }],
      "@typescript-eslint/prefer-includes": "off", // not in ECMAScript 5
      "@typescript-eslint/prefer-nullish-coalescing": "off",
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
    },
  },
  { ignores: ["node_modules/", "*.mjs", "*.js"] },
);
