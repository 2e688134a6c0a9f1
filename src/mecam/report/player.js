// The playhead on every strip follows the player; a click on a strip or a time goes there.
"use strict";
function followPlayer(player, root, duration) {
  const strips = [...root.querySelectorAll(".timeline svg")];
  const parts = [...root.querySelectorAll(".part")];
  const go = (seconds) => { player.currentTime = Math.min(Math.max(seconds, 0), duration); show(); };
  const show = () => {
    const at = player.currentTime;
    for (const strip of strips) {
      const line = strip.querySelector(".now");
      line.setAttribute("x1", (1000 * at) / duration);
      line.setAttribute("x2", (1000 * at) / duration);
    }
    for (const part of parts) {
      const inside = at >= Number(part.dataset.start) && at < Number(part.dataset.stop);
      part.classList.toggle("current", inside && (at > 0 || !player.paused));
    }
  };
  for (const strip of strips) {
    strip.addEventListener("click", (event) => {
      const box = strip.getBoundingClientRect();
      go(((event.clientX - box.left) / box.width) * duration);
    });
  }
  for (const part of parts) {
    part.querySelector("button").addEventListener("click", () => { go(Number(part.dataset.start)); player.play(); });
  }
  player.addEventListener("timeupdate", show);
  player.addEventListener("seeked", show);
}
(() => {
  const player = document.querySelector(".player");
  if (!player) return;
  followPlayer(player, document, Number(document.body.dataset.duration));
  player.addEventListener("error", () => { document.querySelector("#cannot").hidden = false; }, true);
})();
