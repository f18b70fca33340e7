for (const box of document.querySelectorAll(".slider")) {
  const control = box.querySelector("input");
  const move = () => box.style.setProperty("--cut", control.value + "%");
  control.addEventListener("input", move);
  move();
}
