'use strict';
// Zooms and moves the map that this script stands in, and shows and hides its layers.
(() => {
  const root = document.currentScript.parentElement;
  const map = root.querySelector('.map-view svg');
  const scale = root.querySelector('.map-scale .metres');
  const {x, y, width, height} = map.viewBox.baseVal;
  const everything = {x, y, width, height};
  const SMALLEST_WIDTH_M = 2;
  const STEP = 1.5, MOVE = 0.1;  // of a button or a key; of the view's width
  let view = {...everything};
  const pointers = new Map();  // those that are down, and the place that each holds

  function show() {
    // Not beyond the edges.
    view.x = Math.min(Math.max(view.x, x), x + width - view.width);
    view.y = Math.min(Math.max(view.y, y), y + height - view.height);
    map.setAttribute('viewBox', [view.x, view.y, view.width, view.height].join(' '));
    showScale();
  }

  function showScale() {
    const pxPerMetre = map.getScreenCTM().a;
    const longest = Math.min(140, map.clientWidth / 4) / pxPerMetre;
    const power = 10 ** Math.floor(Math.log10(longest));
    const metres = [5, 2, 1].find(digit => digit * power <= longest) * power;
    scale.style.width = `${metres * pxPerMetre}px`;
    scale.textContent = `${metres.toLocaleString('en')} m`;
  }

  function metresAt(point) {
    return new DOMPoint(point.clientX, point.clientY).matrixTransform(
      map.getScreenCTM().inverse());
  }

  // Make the view `factor` times as wide, and bring the place `at` to where `to` is seen now.
  function zoom(factor, at, to = at) {
    const wide = Math.min(Math.max(view.width * factor, SMALLEST_WIDTH_M), width);
    const applied = wide / view.width;
    view = {
      x: at.x - (to.x - view.x) * applied, y: at.y - (to.y - view.y) * applied,
      width: wide, height: view.height * applied};
    show();
  }

  function zoomAtMiddle(factor) {
    zoom(factor, {x: view.x + view.width / 2, y: view.y + view.height / 2});
  }

  function move(right, down) {
    view.x += right;
    view.y += down;
    show();
  }

  function seeEverything() {
    view = {...everything};
    show();
  }

  function spread(points) {
    const [first, second] = points;
    return {
      length: Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY),
      middle: {clientX: (first.clientX + second.clientX) / 2,
               clientY: (first.clientY + second.clientY) / 2}};
  }

  map.addEventListener('wheel', event => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    zoom(1.0015 ** (event.deltaY * lines), metresAt(event));
  }, {passive: false});

  map.addEventListener('pointerdown', event => {
    pointers.set(event.pointerId, event);
    map.setPointerCapture(event.pointerId);
  });
  map.addEventListener('pointermove', event => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()];
    pointers.set(event.pointerId, event);
    const after = [...pointers.values()];
    if (after.length === 1) {
      zoom(1, metresAt(before[0]), metresAt(event));
    } else if (after.length === 2) {
      const [old, now] = [spread(before), spread(after)];
      zoom(old.length / Math.max(now.length, 1), metresAt(old.middle), metresAt(now.middle));
    }
  });
  for (const kind of ['pointerup', 'pointercancel']) {
    map.addEventListener(kind, event => pointers.delete(event.pointerId));
  }
  map.addEventListener('dblclick', seeEverything);

  const actions = {
    '+': () => zoomAtMiddle(1 / STEP), '=': () => zoomAtMiddle(1 / STEP),
    '-': () => zoomAtMiddle(STEP), '0': seeEverything,
    ArrowLeft: () => move(-MOVE * view.width, 0), ArrowRight: () => move(MOVE * view.width, 0),
    ArrowUp: () => move(0, -MOVE * view.width), ArrowDown: () => move(0, MOVE * view.width)};
  map.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  });
  const buttons = {in: '+', out: '-', all: '0'};
  for (const button of root.querySelectorAll('[data-zoom]')) {
    button.addEventListener('click', actions[buttons[button.dataset.zoom]]);
  }

  for (const box of root.querySelectorAll('[data-layer]')) {
    box.addEventListener('change', () => {
      map.querySelector(`g.${box.dataset.layer}`).classList.toggle('hidden', !box.checked);
    });
  }
  window.addEventListener('resize', showScale);
  showScale();
})();
