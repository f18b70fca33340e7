// Sliders: the range input lies over the pictures and moves the divider; two lists choose which pictures those are.
const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
for (const slider of document.querySelectorAll(".slider")) {
  const input = slider.querySelector("input");
  const pictures = [...slider.querySelectorAll(".slider-picture")];
  const choices = [...slider.querySelectorAll("select")];
  const name = (side) => slider.querySelector(".slider-" + side + " .slider-tag").textContent;
  const show = () => {
    slider.style.setProperty("--position", input.value + "%");
    input.setAttribute("aria-label", "Divider between " + name("before") + " and " + name("after"));
    input.setAttribute("aria-valuetext", Math.round(input.value) + "% " + name("before"));
  };
  let chosen = choices.map((choice) => choice.value);
  for (const choice of choices) {
    choice.addEventListener("change", () => {
      const [left, right] = choices.map((each) => each.value);
      if (left === right) choices.forEach((each, side) => { each.value = chosen[1 - side]; }); // the two change places
      chosen = choices.map((each) => each.value);
      pictures.forEach((picture, number) => {
        choices.forEach((each) => picture.classList.toggle("slider-" + each.dataset.side, +each.value === number));
      });
      show();
    });
  }
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    input.value = +input.value + STEPS[event.key];
    show();
  });
  show();
}
// On paper nothing can be unfolded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const part of folded) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of folded) part.open = false;
});
