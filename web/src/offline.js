/**
 * Keeps what was loaded for a time without a network.
 * @param {string[]} urls What the page cannot do without.
 * @returns {Promise<boolean>} Whether the page now works offline.
 */
export async function keepForOffline(urls) {
  if (!("serviceWorker" in navigator)) return false;
  try {
    await navigator.serviceWorker.register("service_worker.js");
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
    active.postMessage({ keep: [...new Set(urls)] }, [port2]);
    return await answer;
  } catch {
    return false; // private windows and pages without https may not
  }
}
