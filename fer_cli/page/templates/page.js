'use strict';
(() => {
const make = (tag, attributes = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...inside.filter(one => one !== undefined && one !== null));
  return element;
};
const draw = (tag, attributes = {}, text) => {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

// The number that a text begins with; NaN if it begins with none.
const number = text => {
  const plain = text.trim().replace(/\u2212/g, '-').replace(/,(?=\d{3})/g, '').replace(/^<\s*/, '');
  return /^[+-]?\d/.test(plain) && !/^\d{4}-\d\d-\d\d/.test(plain) ? parseFloat(plain) : NaN;
};
// Numbers by size, other texts by alphabet; what has no value comes last in both directions.
const compare = (one, two, sign) => {
  const missing = text => text === '' || /^\u2013/.test(text);
  if (missing(one) || missing(two)) return missing(one) - missing(two);
  const [a, b] = [number(one), number(two)];
  if (!Number.isNaN(a) && !Number.isNaN(b)) return sign * (a - b);
  return sign * one.localeCompare(two, 'en', {numeric: true});
};
const addSort = (heading, sort) => {
  const name = heading.textContent || 'name';
  heading.textContent = '';
  heading.append(make('button', {type: 'button', class: 'sort', title: `Sort by ${name}`, onclick: () => {
    const sign = heading.getAttribute('aria-sort') === 'descending' ? 1 : -1;
    for (const other of heading.parentNode.children) other.removeAttribute('aria-sort');
    heading.setAttribute('aria-sort', sign > 0 ? 'ascending' : 'descending');
    sort(sign);
  }}, name));
};
const textOf = (row, place) => row.cells[place] ? row.cells[place].textContent.trim() : '';

for (const table of document.querySelectorAll('table.sheet')) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((heading, place) => addSort(heading, sign => {
    const rows = [...body.rows].map((row, at) => [textOf(row, place), at, row]);
    rows.sort((one, two) => compare(one[0], two[0], sign) || one[1] - two[1]);
    body.append(...rows.map(entry => entry[2]));
  }));
  if (!table.hasAttribute('data-filter')) continue;
  const count = make('span', {class: 'count', 'aria-live': 'polite'});
  const input = make('input', {type: 'search', autocomplete: 'off', spellcheck: 'false', oninput: () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? `${shown} of ${body.rows.length} rows` : '';
  }});
  table.closest('.box').before(make('div', {class: 'tools'}, make('label', {}, 'Filter rows', input), count));
}

const source = document.getElementById('data');
if (source) showRuns(JSON.parse(source.textContent));

function showRuns(data) {
  const STEP = 100;
  const factors = [...new Set(data.cells.flatMap(cell => cell.at.map(pair => pair[0])))];
  const metrics = data.metrics.length;
  const heads = ['run', 'arm', ...factors, 'seed', ...data.metrics.map(name => `${name}, %`), 'state', 'n', 'seconds', 'finished'];
  const [SEED, STATE] = [factors.length + 2, factors.length + 3 + metrics];
  const rows = data.runs.map(([id, place, seed, own, state, ...rest], at) => {
    const cell = data.cells[place], values = Object.fromEntries(cell.at);
    const told = rest.slice(0, metrics + 3).map(value => value === null ? '\u2013' : String(value));
    const texts = [id, cell.arm, ...factors.map(name => values[name] ?? ''), String(seed), ...told.slice(0, metrics), state, ...told.slice(metrics)];
    return {at, id, cell, own: data.own[own], texts, reason: rest[metrics + 3], all: texts.join(' ').toLowerCase()};
  });
  let order = rows, shown = STEP;
  const select = (label, values, place) => {
    const box = make('select', {onchange: () => { shown = STEP; fill(); }}, make('option', {value: ''}, 'all'),
      ...values.map(value => make('option', {value}, value)));
    return {box, label: make('label', {}, label, box), fits: row => !box.value || row.texts[place] === box.value};
  };
  const arms = select('Arm', [...new Set(data.cells.map(cell => cell.arm))], 1);
  const states = select('State', [...new Set(rows.map(row => row.texts[STATE]))], STATE);
  const input = make('input', {type: 'search', autocomplete: 'off', spellcheck: 'false', oninput: () => { shown = STEP; fill(); }});
  const count = make('span', {class: 'count', 'aria-live': 'polite'});
  const body = make('tbody'), head = make('tr');
  const table = make('table', {class: 'runs', id: 'run-list'}, make('caption', {}, 'Open a run to see its settings, curves, confusion matrix and mistakes'),
    make('thead', {}, head), body);
  const more = make('button', {type: 'button', class: 'plain more-runs', onclick: () => { shown += STEP; fill(); }}, `Show ${STEP} more`);
  const place = make('div', {id: 'open-runs'});
  heads.forEach((name, column) => {
    const heading = make('th', {scope: 'col'}, name);
    head.append(heading);
    addSort(heading, sign => {
      order = [...order].sort((one, two) => compare(one.texts[column], two.texts[column], sign) || one.at - two.at);
      fill();
    });
  });
  document.getElementById('run-table').append(
    make('div', {class: 'tools'}, make('label', {}, 'Filter runs', input), arms.label, states.label, count),
    make('div', {class: 'box', tabindex: '0', role: 'region', 'aria-label': 'Runs'}, table), more, place);
  fill();
  addEventListener('hashchange', follow);
  follow();

  function follow() {
    const id = /^#run-(\w+)$/.exec(location.hash)?.[1];
    const row = rows.find(one => one.id === id);
    if (row) open(row);
  }
  function fill() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = order.filter(row => arms.fits(row) && states.fits(row) && words.every(word => row.all.includes(word)));
    body.replaceChildren(...kept.slice(0, shown).map(row => make('tr', {},
      make('th', {scope: 'row'}, button(row)),
      ...row.texts.slice(1).map((text, at) => make('td', at === 0 ? {dir: 'auto'} : {class: 'n', title: at === STATE - 1 && row.reason || undefined}, text)))));
    count.textContent = `${kept.length} of ${rows.length} runs`;
    more.hidden = kept.length <= shown;
  }
  function button(row) {
    return make('button', {type: 'button', class: 'open', 'data-run': row.id, 'aria-expanded': String(!!document.getElementById(`run-${row.id}`)),
      onclick: () => document.getElementById(`run-${row.id}`) ? shut(row) : open(row)}, row.id);
  }
  function mark(row, state) {
    for (const one of table.querySelectorAll(`[data-run="${row.id}"]`)) one.setAttribute('aria-expanded', String(state));
  }
  function shut(row) {
    document.getElementById(`run-${row.id}`)?.remove();
    mark(row, false);
    table.querySelector(`[data-run="${row.id}"]`)?.focus();
  }
  function open(row) {
    document.getElementById(`run-${row.id}`)?.remove();
    const panel = describe(row);
    place.prepend(panel);
    mark(row, true);
    panel.scrollIntoView({block: 'start'});
    panel.querySelector('h3').focus({preventScroll: true});
  }
  function describe(row) {
    const detail = data.details[row.at], where = [row.cell.arm, ...row.cell.at.map(pair => pair.join(' ')), `seed ${row.texts[SEED]}`];
    const panel = make('article', {class: 'run', id: `run-${row.id}`},
      make('header', {}, make('h3', {tabindex: '-1', dir: 'auto'}, `Run ${row.id}: ${where.join(', ')}`),
        make('button', {type: 'button', class: 'plain', onclick: () => shut(row)}, 'Close')));
    if (row.reason) panel.append(make('p', {}, `Why: ${row.reason}`));
    const own = {...row.cell.diff, ...row.own};
    panel.append(...settings(own, row));
    if (detail) panel.append(...results(detail, row));
    else if (row.texts[STATE] === 'done') panel.append(make('p', {}, 'Curves, confusion matrix and mistakes of this run are not on this page, which keeps it small; the first command below prints them.'));
    panel.append(make('p', {}, make('code', {}, `fer show ${row.id}`), ' prints everything about this run, ', make('code', {}, `fer rerun ${row.id}`), ' trains it again and compares.'));
    return panel;
  }
  function settings(own, row) {
    const keys = Object.keys(own);
    const changed = keys.length ? [make('h4', {}, `Settings that differ from run ${data.baseRun}, the baseline`),
      list(['setting', 'this run', 'baseline'], keys.map(key => [key, own[key], data.base[key] ?? '\u2013']))]
      : [make('p', {}, row.id === data.baseRun ? 'This is the run with which the others are compared.' : `No setting differs from run ${data.baseRun}.`)];
    const all = make('details', {}, make('summary', {}, 'All settings'));
    all.addEventListener('toggle', () => {
      if (all.children.length === 1) all.append(list(['setting', 'this run'], Object.entries({...data.base, ...own})));
    });
    return [...changed, all];
  }
  function list(heads, rows) {
    return make('div', {class: 'box', tabindex: '0', role: 'region', 'aria-label': heads[0]}, make('table', {}, make('thead', {}, make('tr', {}, ...heads.map(name => make('th', {scope: 'col'}, name)))),
      make('tbody', {}, ...rows.map(([name, ...values]) => make('tr', {}, make('th', {scope: 'row'}, name), ...values.map(value => make('td', {dir: 'auto'}, value)))))));
  }
  function results(detail, row) {
    const parts = [], columns = make('div', {class: 'columns'});
    if (detail.warnings) parts.push(make('ul', {class: 'notes'}, ...detail.warnings.map(text => make('li', {}, text))));
    const curve = data.curves[detail.curve];
    if (curve) {
      const whose = detail.curve === row.id ? '' : ` (training of run ${detail.curve})`;
      for (const [name, unit, scale] of [['accuracy', '%', 100], ['loss', '', 1]]) {
        if (curve[`val/${name}`] || curve[`train/${name}`]) columns.append(make('div', {}, make('h4', {}, `Learning curve: ${name}${unit && ', ' + unit}${whose}`), plot(curve, name, scale)));
      }
    }
    columns.append(make('div', {}, make('h4', {}, 'Confusion matrix of the test samples'), matrix(detail)));
    columns.append(make('div', {}, make('h4', {}, 'About the run'), list(['fact', ''], Object.entries(detail.facts))));
    parts.push(columns);
    if (detail.mistakes) parts.push(make('h4', {}, 'Worst mistakes'), make('ul', {class: 'mistakes'}, ...detail.mistakes.map(mistake)));
    return parts;
    function mistake([sample, truth, answer, sure], at) {
      const picture = data.pictures[(detail.pictures || [])[at]];
      return make('li', {}, picture ? make('img', {src: picture, alt: `test sample ${sample}`, width: 96, height: 96}) : null,
        make('span', {dir: 'auto'}, `${truth} taken for ${answer}${sure && `, ${sure} % sure`} (${sample})`));
    }
  }
  function matrix(detail) {
    const rows = detail.confusion.map((counts, truth) => {
      const total = counts.reduce((sum, count) => sum + count, 0);
      return make('tr', {}, make('th', {scope: 'row', dir: 'auto'}, detail.classes[truth]), ...counts.map(count => {
        const share = total ? count / total : 0;
        return make('td', {class: `s${Math.round(10 * share)}`, title: `${Math.round(100 * share)} % of ${detail.classes[truth]}`}, String(count));
      }));
    });
    return make('div', {class: 'box', tabindex: '0', role: 'region', 'aria-label': 'Confusion matrix'}, make('table', {class: 'matrix'}, make('caption', {}, 'Confusion matrix; rows are the true classes'),
      make('thead', {}, make('tr', {}, make('th', {scope: 'col'}, 'true \u2193 predicted \u2192'), ...detail.classes.map(name => make('th', {scope: 'col', dir: 'auto'}, name)))), make('tbody', {}, ...rows)));
  }
  function plot(curve, name, scale) {
    const W = 420, H = 230, left = 44, right = 12, top = 26, bottom = 34;
    const series = [['train', 'training'], ['val', 'validation']].filter(([part]) => curve[`${part}/${name}`]).map(([part, word]) => [part, word, curve[`${part}/${name}`]]);
    const values = series.flatMap(entry => entry[2]).filter(value => value !== null).map(value => value * scale);
    let low = Math.min(...values), high = Math.max(...values);
    if (!(high > low)) { low -= 0.5; high += 0.5; }
    const step = nice((high - low) / 4);
    low = Math.max(0, Math.floor(low / step) * step); high = Math.ceil(high / step) * step;
    const first = curve.epochs[0], last = Math.max(curve.epochs[curve.epochs.length - 1], first + 1);
    const x = epoch => left + (epoch - first) / (last - first) * (W - left - right), y = value => H - bottom - (value - low) / (high - low) * (H - top - bottom);
    const svg = draw('svg', {viewBox: `0 0 ${W} ${H}`, class: 'curve', role: 'img', 'aria-label': `${name} by epoch, ${series.map(([, word, all]) => `${word} ends at ${(all[all.length - 1] * scale).toPrecision(3)}`).join(', ')}`});
    for (let value = low; value <= high + step / 2; value += step) {
      svg.append(draw('line', {x1: left, x2: W - right, y1: y(value), y2: y(value), class: 'grid'}), draw('text', {x: left - 6, y: y(value) + 4, 'text-anchor': 'end'}, String(+value.toPrecision(6))));
    }
    const epochs = Math.max(1, nice((last - first) / 5));
    for (let epoch = Math.ceil(first / epochs) * epochs; epoch <= last; epoch += epochs) svg.append(draw('text', {x: x(epoch), y: H - bottom + 15, 'text-anchor': 'middle'}, epoch));
    svg.append(draw('text', {x: (left + W - right) / 2, y: H - 4, 'text-anchor': 'middle'}, 'epoch'));
    if (curve.chosen) svg.append(draw('line', {x1: x(curve.chosen), x2: x(curve.chosen), y1: top, y2: H - bottom, class: 'chosen'}));
    series.forEach(([part, word, all], at) => {
      const points = all.map((value, place) => value === null ? null : `${x(curve.epochs[place]).toFixed(1)},${y(value * scale).toFixed(1)}`).filter(Boolean);
      svg.append(draw('polyline', {points: points.join(' '), class: part}), draw('line', {x1: left + 95 * at, x2: left + 95 * at + 20, y1: 10, y2: 10, class: part}), draw('text', {x: left + 95 * at + 25, y: 14}, word));
    });
    if (curve.chosen) svg.append(draw('line', {x1: left + 190, x2: left + 210, y1: 10, y2: 10, class: 'chosen'}), draw('text', {x: left + 215, y: 14}, `selected epoch ${curve.chosen}`));
    return svg;
  }
  function nice(size) {
    const power = 10 ** Math.floor(Math.log10(size || 1));
    return [1, 2, 5, 10].find(factor => factor * power >= size * 0.999) * power;
  }
}

addEventListener('beforeprint', () => { for (const one of document.querySelectorAll('main > section > details')) one.open = true; });
})();
