// Where files come from: the chooser, a drop anywhere on the page, the clipboard.

/**
 * Calls back with the files that a person gives.
 * @param {{onImage: Function, onModel: Function, onProblem: Function}} callbacks
 */
export function watchFiles({ onImage, onModel, onProblem }) {
  const take = (files, nothing) => {
    const [file] = files;
    if (!file) onProblem(nothing);
    else if (file.name.endsWith(".tflite")) onModel(file);
    else onImage(file);
  };

  const chooser = document.getElementById("file");
  chooser.addEventListener("change", () => {
    if (chooser.files.length) take(chooser.files);
    chooser.value = ""; // so that the same file can be chosen again
  });

  document.addEventListener("paste", ({ clipboardData }) => {
    take(clipboardData.files, "The clipboard contains no image. Copy an image, then paste it here.");
  });

  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take(event.dataTransfer.files, "What you dropped is not a file. Drop an image.");
  });
}
