// A page as the how-to shows it; the server's address is in its own one. The open thread is in the hash.
import "./element.js";

const server = new URL(location.href).searchParams.get("server");
const { backchannelFetch } = await import(`${server}/page/modules/chatkit-fetch.js`);

const backchannel = backchannelFetch({
  url: `${server}/api/chatkit`,
  fetch: (url, options) => fetch(url, { ...options, headers: { ...options.headers, "X-From-The-Page": "yes" } }),
});
const chatkit = document.querySelector("openai-chatkit");
chatkit.addEventListener("chatkit.thread.change", ({ detail }) => history.replaceState(null, "", `#${detail.threadId}`));
chatkit.setOptions({
  api: { url: backchannel.url, fetch: backchannel.fetch, domainKey: "local" },
  initialThread: location.hash.slice(1) || null,
});
backchannel.attach(chatkit);
Object.assign(window, { backchannel, chatkit });
