// Sliders: the range input lies over the pictures and moves the divider.
for (const slider of document.querySelectorAll(".slider")) {
  const input = slider.querySelector("input");
  const show = () => {
    slider.style.setProperty("--position", input.value + "%");
    input.setAttribute("aria-valuetext", Math.round(input.value) + "% " + input.dataset.before);
  };
  input.addEventListener("input", show);
  show();
}
