// One utterance while it was spoken: a row a word, the time of the audio across.

const struck = word => [...word].map(letter => letter + "\u0336").join("");

// A word of a final text: its end in the speech, and the bar from when it was shown for good.
function finalWords(final, end, colour) {
  const spoken = final.filter(word => word[4] !== null);
  const said = ([, word, since, , ended]) => `<b>${escaped(word)}</b><br>shown for good at ${since.toFixed(2)} s` + (ended === null ? "" : `, ${(since - ended).toFixed(2)} s after its end`);
  return [
    { type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: GREY, width: 1, dash: "dot" },
      x: spoken.flatMap(word => [word[4], word[2], null]), y: spoken.flatMap(word => [word[0], word[0], null]) },
    { type: "scatter", mode: "markers", x: spoken.map(word => word[4]), y: spoken.map(word => word[0]), marker: { symbol: "line-ns-open", size: 12, color: GREY, line: { width: 2 } },
      hoverinfo: "text", hovertext: spoken.map(word => `${escaped(word[1])}: spoken until ${word[4].toFixed(2)} s`) },
    { type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: colour, width: 4 },
      x: final.flatMap(word => [word[2], end, null]), y: final.flatMap(word => [word[0], word[0], null]) },
    { type: "scatter", mode: "markers+text", cliponaxis: false, x: final.map(word => word[2]), y: final.map(word => word[0]), text: final.map(word => escaped(word[1])),
      textposition: final.map(word => word[2] > 0.8 * end ? "top left" : "top right"), marker: { color: colour, size: 7 }, hoverinfo: "text", hovertext: final.map(said) },
  ];
}

// What was shown and replaced, struck out.
function revisedWords(revised) {
  return [
    { type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: GREY, width: 4 }, opacity: FAINT,
      x: revised.flatMap(word => [word[2], word[3], null]), y: revised.flatMap(word => [word[0], word[0], null]) },
    { type: "scatter", mode: "markers+text", cliponaxis: false, x: revised.map(word => word[2]), y: revised.map(word => word[0]), text: revised.map(word => escaped(struck(word[1]))),
      textposition: "bottom right", marker: { color: GREY, size: 6 }, hoverinfo: "text",
      hovertext: revised.map(([, word, since, until]) => `<b>${escaped(word)}</b><br>shown from ${since.toFixed(2)} to ${until.toFixed(2)} s`) },
  ];
}

function session([line], { utterance }) {
  const { audio_s, lines: of } = data.sessions[utterance], words = of[line.index];
  const final = words.filter(word => word[3] === null), revised = words.filter(word => word[3] !== null);
  const end = 1.03 * Math.max(audio_s ?? 0, ...Object.values(of).flat().map(word => word[2]));  // of all variants, whose panels are read side by side
  const n = Math.max(...words.map(word => word[0]), 0) + 1;
  const marked = audio_s === null ? [] : [audio_s];
  return {
    data: [...revisedWords(revised), ...finalWords(final, end, data.looks[line.variant].colour)],
    layout: layout(76 + 38 * n, {
      xaxis: { title: { text: "seconds from the first sample", font: { size: 13 } }, range: [0, end] }, yaxis: { visible: false, range: [n - 0.5, -0.9] }, showlegend: false,
      shapes: marked.map(x => ({ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: GREY, width: 1, dash: "dash" } })),
      margin: { t: 20, l: 8, r: 8, b: 12 },
      annotations: marked.map(x => ({ x, y: 1, yref: "paper", yanchor: "bottom", xanchor: "right", text: "end of the audio", showarrow: false, font: { size: 11 } })),
    }),
    says: `${line.label} showed of ${utterance}: ` + final.map(word => `${word[1]} from ${word[2].toFixed(2)} s`).join(", ") + `; ${revised.length} words were replaced`,
  };
}

CHARTS.session = {
  make: session, has: (line, { utterance }) => (data.sessions[utterance]?.lines[line.index] ?? []).length > 0,
  by: line => line.index, named: line => line.label,
};
