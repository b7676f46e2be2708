/**
 * Answers the page that started this worker.
 * @param {Function} start Resolves to what maps an image, a Float32Array, to logits.
 */
export async function answer(start) {
  let run;
  try {
    run = await start();
  } catch (error) {
    postMessage({ error: String(error) });
    return;
  }
  self.onmessage = async ({ data: { image, calls } }) => {
    const milliseconds = [];
    let logits;
    for (let call = 0; call < calls; call++) {
      const begun = performance.now();
      logits = await run(image);
      milliseconds.push(performance.now() - begun);
    }
    postMessage({ milliseconds, logits: Array.from(logits) });
  };
  postMessage({ ready: true });
}
