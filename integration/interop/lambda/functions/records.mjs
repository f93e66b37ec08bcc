// A function as its users write it: it handles each record by itself, and names those that failed.
async function handle(what) {
  if (what === "bad") throw new Error("it is bad");
  if (what === "crash") process.exit(7);
  if (what === "hang") await new Promise((resolve) => setTimeout(resolve, 1e9));
  if (what === "print") console.log("hello from the function");
}

export async function handler(event) {
  const batchItemFailures = [];
  for (const { kinesis } of event.Records) {
    const what = Buffer.from(kinesis.data, "base64").toString();
    if (what === "throw") throw new RangeError("it is bad");
    if (what === "large") return "x".repeat(7 << 20);
    try {
      await handle(what);
    } catch {
      batchItemFailures.push({ itemIdentifier: kinesis.sequenceNumber });
    }
  }
  return { batchItemFailures };
}
