// Draws a chart above each table inside a `figure.chart`, and reloads the page if it is to refresh.
"use strict";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const numbers = new Intl.NumberFormat(document.documentElement.lang);
const compact = new Intl.NumberFormat(document.documentElement.lang, {
  notation: "compact",
  maximumFractionDigits: 1,
});

/** Return titles and labels of the rows of a table, and its other columns as arrays of numbers. */
function read(table) {
  const heads = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows];
  return {
    labels: rows.map((row) => row.cells[0].dataset.label),
    titles: rows.map((row) => row.cells[0].textContent.trim()),
    isGoingOn: rows.map((row) => "goingOn" in row.cells[0].dataset),
    columns: heads.map((head, index) => ({
      head,
      values: rows.map((row) => {
        const value = row.cells[index + 1].dataset.value;
        return value === undefined ? null : Number(value);
      }),
    })),
  };
}

/**
 * Return the datasets of a chart. The period before is a dashed line; days and months that are not
 * over yet are paler or dotted.
 */
function datasets(kind, { columns, isGoingOn }) {
  return columns.map(({ head, values }, index) => {
    const isBefore = kind !== "stack" && index === 1;
    const colour = style(isBefore ? "--series-before" : `--series-${index + 1}`);
    const isLine = kind === "line" || isBefore;
    return {
      label: head,
      data: values,
      type: isLine ? "line" : "bar",
      borderColor: colour,
      backgroundColor: isLine ? colour : isGoingOn.map((open) => (open ? `${colour}88` : colour)),
      borderWidth: isLine ? 2 : 0,
      borderDash: isBefore ? [5, 4] : [],
      segment: {
        borderDash: ({ p1DataIndex }) => (!isBefore && isGoingOn[p1DataIndex] ? [2, 3] : undefined),
      },
      pointRadius: isLine && values.length === 1 ? 4 : 0,
      pointHoverRadius: 4,
      order: isBefore ? 0 : 1,
      maxBarThickness: 48,
    };
  });
}

function draw(figure) {
  const table = figure.querySelector("table");
  const kind = figure.dataset.chart;
  const content = read(table);
  const { labels, titles, columns } = content;
  const holder = document.createElement("div");
  holder.className = "canvas";
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", table.caption.textContent);
  holder.append(canvas);
  figure.prepend(holder);
  const axis = { border: { color: style("--line") }, ticks: { color: style("--quiet") } };
  return new Chart(canvas, {
    type: kind === "line" ? "line" : "bar",
    data: { labels, datasets: datasets(kind, content) },
    options: {
      animation: false,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: {
          ...axis,
          stacked: kind === "stack",
          grid: { display: false },
          ticks: { ...axis.ticks, maxRotation: 0, autoSkipPadding: 16 },
        },
        y: {
          ...axis,
          stacked: kind === "stack",
          beginAtZero: true,
          grid: { color: style("--grid") },
          ticks: { ...axis.ticks, precision: 0, maxTicksLimit: 6, callback: (n) => compact.format(n) },
        },
      },
      plugins: {
        legend: {
          display: columns.length > 1,
          align: "end",
          onClick: () => {},
          labels: {
            boxWidth: 14,
            boxHeight: 2,
            generateLabels: ({ data }) =>
              data.datasets.map(({ label, borderColor, borderDash, order }) => ({
                text: label,
                fontColor: style("--quiet"),
                fillStyle: borderColor,
                strokeStyle: borderColor,
                lineWidth: 1,
                lineDash: borderDash,
                order,
              })),
          },
        },
        tooltip: {
          callbacks: {
            title: ([item]) => titles[item.dataIndex],
            label: (item) => ` ${item.dataset.label}: ${numbers.format(item.raw)}`,
          },
        },
      },
    },
  });
}

const charts = [];

function drawAll() {
  for (const chart of charts.splice(0)) {
    const holder = chart.canvas.parentElement;
    chart.destroy();
    holder.remove();
  }
  for (const figure of document.querySelectorAll("figure.chart")) {
    if (window.Chart) {
      charts.push(draw(figure));
    }
    if (!figure.classList.contains("drawn")) {
      figure.querySelector("details").open = !window.Chart;
      figure.classList.add("drawn");
    }
  }
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

// A page is not reloaded while somebody fills in a form or while the page is hidden.
const seconds = Number(document.body.dataset.refresh);
if (seconds) {
  setInterval(() => {
    const isBusy = document.activeElement?.matches("input, select") || document.querySelector(".filters[open]");
    if (!document.hidden && !isBusy) {
      location.reload();
    }
  }, seconds * 1000);
}
