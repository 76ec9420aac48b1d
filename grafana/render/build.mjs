// Bundles page.tsx: node build.mjs OUTPUT.js
import { build } from 'esbuild';

// Grafana's packages come in two forms. In the one for `import`, tables break: Node's reading of a default export, which
// esbuild follows there, hands React a module instead of a component. So both are taken in the form for `require`.
const asCommonJs = {
  name: 'grafana-as-commonjs',
  setup(bundle) {
    bundle.onResolve({ filter: /^@grafana\/(ui|data|schema)/ }, ({ path, resolveDir, pluginData }) =>
      pluginData === 'resolved' ? undefined : bundle.resolve(path, { kind: 'require-call', resolveDir, pluginData: 'resolved' })
    );
  },
};

await build({
  entryPoints: [new URL('page.tsx', import.meta.url).pathname],
  outfile: process.argv[2],
  bundle: true,
  define: { 'process.env.NODE_ENV': '"production"' },
  jsx: 'automatic',
  loader: { '.svg': 'dataurl', '.png': 'dataurl', '.ttf': 'dataurl' },
  logLevel: 'error',
  plugins: [asCommonJs],
});
