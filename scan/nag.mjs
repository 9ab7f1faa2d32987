// cdk-nag's packs over a template: one JSON list of [rule, resource]. scan.py names the rules that count.
// Usage: node nag.mjs TEMPLATE.json OUTPUT_FOLDER
import { App, Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
import { AwsSolutionsChecks, HIPAASecurityChecks, ServerlessChecks } from "cdk-nag";

const [templateFile, outdir] = process.argv.slice(2);
const app = new App({ outdir });
new CfnInclude(new Stack(app, "Stack"), "Template", { templateFile });
const findings = [];
for (const pack of [new AwsSolutionsChecks(app), new ServerlessChecks(app), new HIPAASecurityChecks(app)]) {
  for (const { ruleName, violatingResources } of pack.validateScope(app).violations) {
    for (const { constructPath } of violatingResources) findings.push([ruleName, constructPath.split("/").at(-1)]);
  }
}
process.stdout.write(JSON.stringify(findings));
