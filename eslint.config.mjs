/** Typed lint for all TypeScript, and the fence around workflows/. */
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const allowedInWorkflows = [
  '@temporalio/(workflow|common)',
  'zod',
  '@noble/hashes/[^/]+',
  '\\.\\./src/contract',
  '\\./[^/]+',
  '\\.\\./activities(/[^/]+)?',
];

export default defineConfig(
  globalIgnores(['dist/', 'dist.*/', '.tools/', '.demo/', 'reports/', 'examples/**/*.js']),
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: false }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['workflows/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: `^(?!(${allowedInWorkflows.join('|')})$)`,
              message:
                'Workflows run in a sandbox and must be repeatable: import only @temporalio/workflow, @temporalio/common, zod, @noble/hashes, ../src/contract and workflow files.',
            },
            {
              regex: '^\\.\\./activities',
              allowTypeImports: true,
              message: 'Import only types of activities: a workflow calls them through a proxy.',
            },
          ],
        },
      ],
    },
  },
);
