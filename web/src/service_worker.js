// The page without a network. The shell is kept when this is installed; what the page then
// loads (its variant of LiteRT, the model) is kept when it first passes by, or when the page,
// which came before this, names it. Models are asked for anew each time, so that a new file
// under an old name is seen.

/* global SHELL, VERSION -- build.mjs sets them */
const CACHE = `keras-poolformer ${VERSION}`;
const isModel = (url) => new URL(url).pathname.endsWith(".tflite");

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOldCaches().then(() => self.clients.claim()));
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
  event.respondWith(isModel(url) ? newest(event.request) : kept(event.request));
});

async function removeOldCaches() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("keras-poolformer ") && name !== CACHE);
  return Promise.all(old.map((name) => caches.delete(name)));
}

async function keep(urls) {
  const cache = await caches.open(CACHE);
  for (const url of urls) {
    if (!(await cache.match(url))) await cache.add(url);
  }
}

async function kept(request) {
  const cache = await caches.open(CACHE);
  const ignoreSearch = request.mode === "navigate"; // ?model=... is the same page
  return (await cache.match(request, { ignoreSearch })) ?? fetched(cache, request);
}

async function newest(request) {
  const cache = await caches.open(CACHE);
  try {
    return await fetched(cache, request);
  } catch (error) {
    const known = await cache.match(request);
    if (known) return known;
    throw error;
  }
}

async function fetched(cache, request) {
  const response = await fetch(request);
  if (response.ok) await cache.put(request, response.clone());
  return response;
}
