/** Typed lint for all TypeScript; the floors of the house, no import going up; no import circles; the fence around workflows/. */
import { defineConfig, globalIgnores } from 'eslint/config';
import { createNodeResolver, importX } from 'eslint-plugin-import-x';
import tseslint from 'typescript-eslint';

/** From the ground up: a folder or file imports from its own floor's folder and from lower floors only. */
const floors = [
  ['src/errors.ts', 'src/contract.ts', 'src/exit.ts', 'src/text.ts'],
  ['src/settings'],
  ['src/postgres'],
  ['src/ledger', 'src/host', 'src/mapping'],
  ['src/engine'],
  ['src/backup', 'src/new-schema', 'src/report'],
  ['src/reset', 'src/migrate'],
  ['src/restore'],
  ['src/way-back'],
  ['src/preflight'],
  ['activities'],
  ['workflows'],
  ['cli'],
  ['lab'],
];

const zones = floors.flatMap((rooms, floor) =>
  rooms.map((room) => ({
    target: `./${room}`,
    from: floors
      .slice(floor)
      .flat()
      .filter((other) => other !== room)
      .map((other) => `./${other}`)
      .concat('./test'),
    message: 'Imports point downward only: see the floors in eslint.config.mjs.',
  })),
);

const allowedInWorkflows = [
  '@temporalio/(workflow|common)',
  'zod',
  '@noble/hashes/[^/]+',
  '(\\.\\./)+src/(contract|text|ledger/phases)',
  '\\./[^/]+',
  '\\.\\./[^/]+',
  '\\./steps/[^/]+',
  '(\\.\\./)+activities(/[^/]+)?',
];

export default defineConfig(
  globalIgnores(['dist/', 'dist.*/', '.tools/', '.demo/', 'reports/', 'examples/**/*.js']),
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    plugins: { 'import-x': importX },
    settings: {
      'import-x/extensions': ['.ts'],
      'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] },
      'import-x/resolver-next': [createNodeResolver({ extensions: ['.ts', '.js', '.json'] })],
    },
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      'import-x/no-cycle': ['error', { ignoreExternal: true }],
      'import-x/no-restricted-paths': ['error', { basePath: import.meta.dirname, zones }],
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
    files: ['src/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^@temporalio/',
              message:
                'src/ does the work and knows nothing of Temporal: activities/ and workflows/ are there for that.',
            },
          ],
        },
      ],
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
                'Workflows run in a sandbox and must be repeatable: import only @temporalio/workflow, @temporalio/common, zod, @noble/hashes, src/contract, src/text, src/ledger/phases and workflow files.',
            },
            {
              regex: '^(\\.\\./)+activities',
              allowTypeImports: true,
              message: 'Import only types of activities: a workflow calls them through a proxy.',
            },
          ],
        },
      ],
    },
  },
);
