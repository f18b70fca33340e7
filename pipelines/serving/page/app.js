// The page: starts its parts.
import { archiveChooser, forgetArchives, startArchives, watchArchives } from "./archives.js";
import { find, showFailure } from "./elements.js";
import { imageChooser, startImage } from "./image.js";
import { KEY_GIVEN, startKeys } from "./key.js";
import { loadModels } from "./models.js";

async function start() {
  try {
    await loadModels([imageChooser, archiveChooser]);
  } catch (failure) {
    showFailure(find("image-problem"), failure, start);
    return;
  }
  document.addEventListener(KEY_GIVEN, watchArchives);
  watchArchives();
}

startKeys(forgetArchives);
startImage();
startArchives();
start();
