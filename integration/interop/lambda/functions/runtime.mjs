// A custom runtime as AWS's documentation describes one, for where its own client cannot be built: it asks for an invocation,
// calls the handler, answers, and asks again.
import path from "node:path";
import { pathToFileURL } from "node:url";

const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;
const described = (error) => ({
  errorType: error.name,
  errorMessage: error.message,
  trace: (error.stack ?? "").split("\n"),
});

async function post(place, body, headers = {}) {
  const answer = await fetch(`${api}/${place}`, { method: "POST", body: JSON.stringify(body), headers });
  await answer.text();
}

let handler;
try {
  const [file, name] = process.env._HANDLER.split(".");
  const module = await import(pathToFileURL(path.join(process.env.LAMBDA_TASK_ROOT, `${file}.mjs`)));
  handler = module[name];
} catch (error) {
  await post("init/error", { ...described(error), errorType: "Runtime.ImportModuleError" }, { "Lambda-Runtime-Function-Error-Type": "Runtime.ImportModuleError" });
  process.exit(1);
}

for (;;) {
  const next = await fetch(`${api}/invocation/next`);
  const id = next.headers.get("lambda-runtime-aws-request-id");
  const left = () => Number(next.headers.get("lambda-runtime-deadline-ms")) - Date.now();
  try {
    const answer = await handler(await next.json(), { awsRequestId: id, getRemainingTimeInMillis: left });
    await post(`invocation/${id}/response`, answer ?? null);
  } catch (error) {
    await post(`invocation/${id}/error`, described(error), { "Lambda-Runtime-Function-Error-Type": error.name });
  }
}
