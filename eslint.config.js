import tseslint from 'typescript-eslint';

/** Which of our folders a folder may not import: dependencies go one way (docs/ARCHITECTURE.md, "Layers"). */
const forbid = (files, folders, why) => ({
  files,
  rules: {
    'no-restricted-imports': [
      'error',
      { patterns: [{ regex: `(^|/)(${folders.join('|')})/`, message: why }] },
    ],
  },
});

export default tseslint.config(
  { ignores: ['node_modules/', '.data/', 'coverage/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': 'error',
    },
  },
  forbid(
    ['libs/core/**/*.ts'],
    ['cluster', 'db', 'runtime', 'embedded', 'testing', 'apps'],
    'core imports nothing of ours',
  ),
  forbid(
    ['libs/cluster/**/*.ts'],
    ['db', 'embedded', 'testing', 'apps'],
    'cluster knows core and runtime only',
  ),
  forbid(['libs/db/**/*.ts'], ['cluster', 'embedded', 'testing', 'apps'], 'db knows core and runtime only'),
  forbid(
    ['libs/runtime/**/*.ts'],
    ['cluster', 'db', 'embedded', 'testing', 'apps'],
    'runtime knows core only',
  ),
  forbid(['apps/controller/**/*.ts'], ['db', 'embedded', 'testing'], 'the controller needs ZooKeeper only'),
  forbid(['apps/cluster-admin/**/*.ts'], ['db', 'embedded', 'testing'], 'wishes live in ZooKeeper only'),
  forbid(
    ['apps/scheduler-api/**/*.ts'],
    ['cluster', 'embedded', 'testing'],
    'submissions need Postgres only',
  ),
  forbid(
    ['apps/worker-node/**/*.ts', 'apps/cluster-init/**/*.ts'],
    ['embedded', 'testing'],
    'production never imports testing',
  ),
  forbid(
    ['libs/embedded/**/*.ts'],
    ['cluster', 'db', 'testing', 'apps'],
    'embedded knows core and runtime; the apps it runs are processes of their own',
  ),
  {
    // Tests may reach for any helper, and for the servers they run against.
    files: ['**/*.test.ts', 'test/**/*.ts', 'apps/*/testing/**/*.ts'],
    rules: { 'no-restricted-imports': 'off' },
  },
);
