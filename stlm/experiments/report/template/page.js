"use strict";
(() => {
  const root = document.documentElement;
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const titles = {step: "step", tokens: "tokens", flops: "FLOPs"};
  const along = {
    step: {tickformat: "~s", hoverformat: ",d"},
    tokens: {tickformat: "~s", hoverformat: ".3s"},
    flops: {tickformat: "", exponentformat: "power", hoverformat: ".3e"},
  };
  let axis = figures.axes[0] ?? "step";

  const color = (name) => getComputedStyle(root).getPropertyValue("--" + name.slice(1)).trim();

  // A color is named `$train`, wherever a key says that it is one; the theme says which it is.
  const themed = (value, key = "") => {
    if (Array.isArray(value)) return key.endsWith("colors") ? value.map((one) => themed(one, "color")) : value.map((one) => themed(one));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, themed(inner, name)]));
    }
    return key.endsWith("color") && typeof value === "string" && value.startsWith("$") ? color(value) : value;
  };

  // Of one place, or of a few steps, plotly would label what lies between.
  const rangeOf = (figure) => {
    const places = figure.x.flatMap((one) => one[axis]);
    const low = Math.min(...places), high = Math.max(...places), grouped = figure.layout.scattermode === "group";
    const wide = grouped && low < 2 ** 50 ? 1 : Math.abs(low) / 2 || 1;  // what stands beside each other is 1 apart at most
    if (low === high) return {range: [low - wide, low + wide], tickvals: [low]};
    const room = (grouped ? 0.08 : 0.03) * (high - low);
    const range = [low - room, high + room];
    return axis === "step" && high - low < 6 ? {range, tick0: 0, dtick: 1} : {range};
  };

  const layoutOf = (figure) => {
    const line = {gridcolor: color("$grid"), zerolinecolor: color("$grid"), linecolor: color("$line"), automargin: true};
    const own = figure.layout, family = getComputedStyle(document.body).fontFamily;
    return {
      autosize: true,
      margin: {t: 8, r: 12, b: 40, l: 48},
      paper_bgcolor: color("$surface"),
      plot_bgcolor: color("$surface"),
      font: {family, size: 12, color: color("$text")},
      hoverlabel: {namelength: -1, bgcolor: color("$surface"), bordercolor: color("$line"), font: {family, size: 11, color: color("$text")}},
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      ...themed(own),
      ...(figure.x.length ? {
        xaxis: {...line, spikecolor: color("$quiet"), spikethickness: 1, unifiedhovertitle: {text: `${titles[axis]} %{x}`}, title: {text: titles[axis], standoff: 6}, ...along[axis], ...rangeOf(figure)},
        yaxis: {...line, ...own.yaxis},
      } : {}),
    };
  };

  const draw = (figure) => {
    const data = themed(figure.data).map((trace, place) => figure.x.length ? {...trace, x: figure.x[place][axis]} : trace);
    const options = {responsive: true, displayModeBar: false};
    return Plotly.react(figure.id, data, layoutOf(figure), options);
  };
  const drawAll = () => Promise.all(figures.charts.map(draw));

  document.querySelectorAll("#axis input").forEach((input) => {
    input.checked = input.value === axis;
    input.addEventListener("change", () => { axis = input.value; drawAll(); });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

  // Paper is light, and nothing on it can be unfolded.
  let folded = [];
  addEventListener("beforeprint", () => {
    root.dataset.light = "";
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((details) => { details.open = true; });
    drawAll();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.light;
    folded.forEach((details) => { details.open = false; });
    drawAll();
  });

  drawAll().then(() => { root.dataset.drawn = figures.charts.length; });
})();
