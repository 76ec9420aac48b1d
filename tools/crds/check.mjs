// Checks custom resources of the Prometheus operator, which Kubernetes' own schemas do not know.
//
//   kubectl kustomize deploy/k8s/monitoring | … as a JSON list … | node tools/crds/check.mjs
//
// Two questions to @kubernetes-models/prometheus-operator: its validators ask for values, its types for unknown keys,
// which the validators let pass. Prints a line for each fault; exit code 1 if there is one.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";
import * as models from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import ts from "typescript";

const resources = JSON.parse(readFileSync(0, "utf8"));
const faults = [];

for (const resource of resources) {
  const Model = models[resource.kind];
  if (!Model || resource.apiVersion !== "monitoring.coreos.com/v1") {
    faults.push(`${resource.kind}: no such kind in monitoring.coreos.com/v1`);
    continue;
  }
  try {
    new Model(resource).validate();
  } catch (error) {
    faults.push(`${resource.kind}/${resource.metadata.name}: ${error.message}`);
  }
}

// A literal that is given to a type may not have keys that the type lacks.
const file = join(dirname(fileURLToPath(import.meta.url)), "resources.ts");
const kinds = [...new Set(resources.map(({ kind }) => kind))].filter((kind) => models[kind]);
const source = [
  `import type { ${kinds.map((kind) => `I${kind}`).join(", ")} } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";`,
  ...resources
    .filter(({ kind }) => models[kind])
    .map((resource, number) => `export const r${number}: I${resource.kind} = ${JSON.stringify(resource)};`),
].join("\n");
const options = { strict: true, noEmit: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext, types: [] };
const host = ts.createCompilerHost(options);
const { getSourceFile, fileExists, readFile } = host;
host.getSourceFile = (name, ...rest) =>
  name === file ? ts.createSourceFile(name, source, ts.ScriptTarget.ESNext) : getSourceFile.call(host, name, ...rest);
host.fileExists = (name) => name === file || fileExists.call(host, name);
host.readFile = (name) => (name === file ? source : readFile.call(host, name));
for (const { messageText } of ts.getPreEmitDiagnostics(ts.createProgram([file], options, host))) {
  faults.push(ts.flattenDiagnosticMessageText(messageText, " "));
}

for (const fault of faults) console.log(fault);
process.exit(faults.length ? 1 : 0);
