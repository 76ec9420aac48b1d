// Send a message once, read, change and delete it. Needs Node 18 or newer, and nothing else.
import { randomUUID } from "node:crypto";

const url = process.env.SIDECAR_URL ?? "http://127.0.0.1:9878";
const chat = process.env.CHAT ?? "me";
const token = process.env.SIDECAR_API_TOKEN;
const PATIENCE_SECONDS = 30;

async function call(method, path, { body, key } = {}) {
  return fetch(url + path, {
    method,
    headers: {
      ...(body && { "Content-Type": "application/json" }),
      ...(key && { "Idempotency-Key": key }),
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout((PATIENCE_SECONDS + 5) * 1000),
  });
}

async function well(answer) {
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.status === 204 ? undefined : answer.json();
}

// The key makes it one message, however often it is asked.
async function sendOnce(text, key) {
  for (let left = 5; ; left -= 1) {
    let wait = 1;
    try {
      const answer = await call("POST", "/telegram/messages", { body: { chat, text }, key });
      if (![429, 503, 504].includes(answer.status) || left === 0) return await well(answer);
      wait = Number(answer.headers.get("Retry-After") ?? 1);
    } catch (error) {
      if (left === 0 || !(error instanceof TypeError || error.name === "TimeoutError")) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}

const sent = await sendOnce("hello from Node", randomUUID());
console.log("sent:", sent);
const path = `/telegram/messages/${sent.id}`;
const changed = await well(await call("PATCH", path, { body: { chat, text: "hello again" } }));
console.log("changed:", changed.text);
console.log("read:", (await well(await call("GET", `${path}?chat=${encodeURIComponent(chat)}`))).text);
await well(await call("DELETE", `${path}?chat=${encodeURIComponent(chat)}`));
console.log("deleted:", sent.id);
