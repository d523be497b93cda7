"use strict";
(() => {
  const root = document.documentElement;
  const tip = document.getElementById("tip");

  const theme = document.getElementById("theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const now = root.dataset.theme ||
      (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });

  if (navigator.clipboard) {
    for (const button of document.querySelectorAll(".copy")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.previousElementSibling.textContent);
        button.textContent = "Copied";
      });
    }
  }

  const three = (v) => {
    const a = Math.abs(v);
    if (a === 0) return "0";
    if (a >= 99.95) return v.toFixed(0);
    if (a >= 9.995) return v.toFixed(1);
    if (a >= 0.9995) return v.toFixed(2);
    return v.toFixed(3);
  };
  const scaled = (v, unit) => {
    for (const [from, by, prefix] of [[999.5e9, 1e12, "T"], [999.5e6, 1e9, "G"],
      [999.5e3, 1e6, "M"], [9995, 1e3, "k"]]) {
      if (Math.abs(v) >= from) return three(v / by) + " " + prefix + unit;
    }
    return three(v) + (unit ? " " + unit : "");
  };
  const shown = {
    us: (v) => v >= 999500 ? three(v / 1e6) + " s" : v >= 999.5 ? three(v / 1e3) + " ms" : three(v) + " µs",
    rate: (v) => scaled(v, "") + "/s",
    count: (v) => Number.isInteger(v) && v < 9995 ? String(v) : scaled(v, ""),
    bytes: (v) => scaled(v, "B"),
    byterate: (v) => scaled(v, "B/s"),
    cores: (v) => three(v) + " cores",
  };
  const clock = (s) => {
    if (s < 120) return s.toFixed(1) + " s";
    const whole = Math.round(s), minutes = Math.floor(whole / 60);
    const two = (n) => String(n).padStart(2, "0");
    return minutes < 60 ? minutes + ":" + two(whole % 60)
      : Math.floor(minutes / 60) + ":" + two(minutes % 60) + ":" + two(whole % 60);
  };
  // quantile has one digit more than the nines that it is behind.
  const quantile = (x) => "p" + (100 * (1 - Math.pow(10, -x))).toFixed(Math.max(0, Math.ceil(x) - 1));

  // nearest is the index of the point of a curve that is closest to x.
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1; else high = middle;
    }
    return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
  };

  for (const plot of document.querySelectorAll(".plot")) {
    const text = plot.querySelector("script[type='application/json']");
    const area = plot.querySelector(".area");
    if (!text || !area) continue;
    const data = JSON.parse(text.textContent);
    const curves = (data.Curves || []).filter((c) => c.x && c.x.length);
    if (!curves.length) continue;
    const cross = area.querySelector(".cross");
    const hide = () => { tip.hidden = true; cross.style.display = "none"; };

    const tell = (event) => {
      const box = area.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      const x = data.Low + share * (data.High - data.Low);
      const lead = curves[0].x[nearest(curves[0].x, x)];
      tip.replaceChildren();
      const when = document.createElement("div");
      when.className = "when";
      when.textContent = data.X === "nines" ? (lead > 0 ? quantile(lead) : "fastest") : "at " + clock(lead);
      tip.append(when);
      for (const c of curves) {
        const i = nearest(c.x, lead);
        const y = c.y[i];
        const row = document.createElement("div");
        const key = document.createElement("i");
        key.className = "key " + c.c;
        const value = document.createElement("b");
        const far = c.x[i] < lead - (data.High - data.Low) / 20;
        value.textContent = y === null || far ? "—" : (shown[data.Unit] || String)(y);
        row.append(key, c.n, value);
        tip.append(row);
      }
      cross.style.display = "block";
      cross.style.left = 100 * (lead - data.Low) / (data.High - data.Low) + "%";
      tip.hidden = false;
      const wide = tip.offsetWidth, high = tip.offsetHeight;
      let left = event.clientX + 14;
      if (left + wide > innerWidth - 8) left = Math.max(8, event.clientX - wide - 14);
      let top = event.clientY + 14;
      if (top + high > innerHeight - 8) top = Math.max(8, event.clientY - high - 14);
      tip.style.left = left + "px";
      tip.style.top = top + "px";
    };
    area.addEventListener("pointermove", tell);
    area.addEventListener("pointerdown", tell);
    area.addEventListener("pointerleave", hide);
  }
})();
