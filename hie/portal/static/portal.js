/* What the pages need beyond htmx: charts, the session's end, printing, guarding against losing what was typed. */
(function () {
  "use strict";
  var zh = document.documentElement.lang.indexOf("zh") === 0;

  /* --- trend charts: numbers come in a data attribute, shapes tell high from low, colour only repeats it --- */
  var SHAPES = { "high": "triangle", "critical-high": "triangle", "low": "path://M0,0L10,0L5,9Z", "critical-low": "path://M0,0L10,0L5,9Z" };
  var COLOURS = { "high": "#a3141c", "critical-high": "#a3141c", "low": "#1a4fa0", "critical-low": "#1a4fa0" };
  var charts = [];

  function draw(place) {
    if (place.dataset.drawn || typeof echarts === "undefined") return;
    place.dataset.drawn = "1";
    var trend = JSON.parse(place.dataset.trend);
    var chart = echarts.init(place, null, { renderer: "svg", locale: zh ? "ZH" : "EN" });
    var range = [];
    if (trend.low !== null || trend.high !== null) {
      range.push([{ yAxis: trend.low === null ? "min" : trend.low }, { yAxis: trend.high === null ? "max" : trend.high }]);
    }
    var values = trend.points.map(function (point) { return point.value; });
    if (trend.low !== null) values.push(trend.low);
    if (trend.high !== null) values.push(trend.high);
    var least = Math.min.apply(null, values), most = Math.max.apply(null, values), pad = (most - least || Math.abs(most) || 1) * 0.12;
    chart.setOption({
      animation: false,
      aria: { enabled: true },
      textStyle: { fontFamily: "inherit" },
      grid: { left: 52, right: 24, top: 28, bottom: 30 },
      tooltip: {
        trigger: "item", renderMode: "richText", confine: true,
        formatter: function (item) { return item.data.when + "\n" + item.data.value[1] + " " + trend.unit + "\n" + item.data.facility; }
      },
      xAxis: { type: "time", axisLabel: { color: "#475863", hideOverlap: true } },
      yAxis: { type: "value", name: trend.unit, scale: true, min: round(least - pad, most - least), max: round(most + pad, most - least), axisLabel: { color: "#475863", showMinLabel: false, showMaxLabel: false }, nameTextStyle: { color: "#475863", align: "left" }, splitLine: { lineStyle: { color: "#e6ebec" } } },
      series: [{
        type: "line", name: trend.name, symbolSize: 10, lineStyle: { color: "#0d4f5c", width: 2 }, itemStyle: { color: "#0d4f5c" },
        markArea: { silent: true, itemStyle: { color: "#dcefe4", opacity: 0.75 }, data: range },
        data: trend.points.map(function (point) {
          return {
            value: [point.at, point.value], when: point.when, facility: point.hospital,
            symbol: SHAPES[point.flag] || "circle", itemStyle: { color: COLOURS[point.flag] || "#0d4f5c" }
          };
        })
      }]
    });
    charts.push(chart);
  }

  function round(value, span) {
    var step = Math.pow(10, Math.floor(Math.log10(span || Math.abs(value) || 1)) - 1);
    return Number((Math.round(value / step) * step).toPrecision(6));
  }

  function drawAll(root) {
    root.querySelectorAll("[data-trend]").forEach(draw);
  }

  window.addEventListener("resize", function () { charts.forEach(function (chart) { chart.resize(); }); });
  document.addEventListener("htmx:after:swap", function () { drawAll(document); });

  /* --- the session's end: a warning first, then the sign-in page --- */
  var left = Number(document.body.dataset.sessionS || 0), warn = Number(document.body.dataset.warnS || 0);
  var box = document.getElementById("timeout"), timeEnd = Date.now() + left * 1000, signInUrl = "/sign-in?ended=1";

  function tick() {
    var seconds = Math.ceil((timeEnd - Date.now()) / 1000);
    if (seconds <= 0) { window.location.assign(signInUrl + "&next=" + encodeURIComponent(location.pathname)); return; }
    var near = seconds <= warn;
    if (near && box.hidden) { box.hidden = false; box.querySelector("button").focus(); }
    if (!near) box.hidden = true;
    document.getElementById("timeout-left").textContent = zh ? seconds + " 秒" : seconds + " s";
  }

  if (left && box) {
    window.setInterval(tick, 1000);
    document.addEventListener("htmx:after:request", function () { timeEnd = Date.now() + left * 1000; });
    document.getElementById("timeout-stay").addEventListener("submit", function (event) {
      event.preventDefault();
      fetch(event.target.action, { method: "POST", body: new FormData(event.target), credentials: "same-origin" })
        .then(function (answer) {
          if (!answer.ok) { window.location.assign(signInUrl); return; }
          left = Number(answer.headers.get("X-Session-Left-S")) || left;
          timeEnd = Date.now() + left * 1000;
          box.hidden = true;
        });
    });
  }

  /* --- small things --- */
  document.addEventListener("click", function (event) {
    var target = event.target.closest ? event.target : null;
    if (!target) return;
    if (target.closest("[data-print]")) window.print();
    var close = target.closest("[data-close-trend]");
    if (close) {
      var cell = close.closest("td"), row = cell && cell.closest("tr").previousElementSibling;
      if (cell) cell.textContent = "";
      if (row) { var link = row.querySelector("a"); if (link) link.focus(); }
    }
  });

  document.addEventListener("submit", function (event) {
    var form = event.target;
    var asked = (event.submitter && event.submitter.dataset.ask) || form.dataset.confirm;
    if (asked && !window.confirm(asked)) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    if (form.method === "post" && !form.hasAttribute("hx-post") && form.id !== "timeout-stay") {
      if (form.dataset.busy) { event.preventDefault(); return; }
      form.dataset.busy = "1";
    }
  });
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) window.location.reload();
  });

  window.addEventListener("beforeunload", function (event) {
    var unsaved = Array.prototype.some.call(document.querySelectorAll("form[data-guard]"), function (form) {
      return !form.dataset.sent && Array.prototype.some.call(form.elements, function (field) {
        return field.type === "radio" ? false : field.defaultValue !== undefined && field.tagName !== "BUTTON" && field.type !== "hidden" && field.value !== field.defaultValue;
      });
    });
    if (unsaved && !document.querySelector("form[data-sent]")) event.preventDefault();
  });

  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (one) { one.open = true; });
  });
  window.addEventListener("afterprint", function () { opened.forEach(function (one) { one.open = false; }); });

  function markSection() {
    // Of parts that stand side by side the first counts.
    var links = document.querySelectorAll(".sections a"), here = null, lowest = -Infinity;
    links.forEach(function (link) {
      var part = document.querySelector(link.getAttribute("href")), top = part ? part.getBoundingClientRect().top : Infinity;
      if (top < 200 && top > lowest + 1 && window.scrollY > 40) { here = link; lowest = top; }
    });
    if (!here && links.length) here = links[0];
    links.forEach(function (link) { link.classList.toggle("is-here", link === here); });
  }
  if (document.querySelector(".sections")) { document.addEventListener("scroll", markSection, { passive: true }); markSection(); }

  function ready() {
    drawAll(document);
    var heading = document.querySelector("[data-focus]") || document.getElementById("refused");
    if (heading) heading.focus();
  }
  if (document.readyState === "complete") ready(); else window.addEventListener("load", ready);
})();
