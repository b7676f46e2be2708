// The page without a network. What the page is made of is kept when this is installed; what it
// then loads (its variant of LiteRT, the model) when it passes by, or when the page, which came
// before this, names it. While there is a network everything comes from there: a new page or
// model is seen at once.

/* global SHELL -- build.mjs sets it */
const CACHE = "keras-poolformer";

self.addEventListener("install", (event) => {
  event.waitUntil(keep(SHELL).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(self.clients.claim());
});

self.addEventListener("message", ({ data, ports: [port] }) => {
  keep(data.keep).then(
    () => port.postMessage(true),
    () => port.postMessage(false),
  );
});

self.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method !== "GET" || new URL(url).origin !== location.origin) return;
  event.respondWith(fetched(event.request).catch(() => kept(event.request)));
});

async function keep(urls) {
  const cache = await caches.open(CACHE);
  await cache.addAll(urls);
}

async function fetched(request) {
  const response = await fetch(request);
  if (response.ok) {
    const cache = await caches.open(CACHE);
    await cache.put(request, response.clone());
  }
  return response;
}

async function kept(request) {
  const cache = await caches.open(CACHE);
  const ignoreSearch = request.mode === "navigate"; // ?model=... is the same page
  return (await cache.match(request, { ignoreSearch })) ?? Response.error();
}
