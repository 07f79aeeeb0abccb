'use strict';
// Saves figures with their colours written into them (those of the light page), pauses animations. Nothing is loaded.
(() => {
  const KEPT = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-opacity', 'stroke-dasharray', 'stroke-linecap',
    'stroke-linejoin', 'paint-order', 'opacity', 'font-family', 'font-size', 'font-weight', 'text-anchor'];

  function standalone(svg) {
    const root = document.documentElement;
    root.dataset.theme = 'light';
    const copy = svg.cloneNode(true);
    const from = svg.querySelectorAll('*');
    const to = copy.querySelectorAll('*');
    from.forEach((node, i) => {
      if (['title', 'animate'].includes(node.tagName)) return;
      const style = getComputedStyle(node);
      for (const name of KEPT) {
        const value = style.getPropertyValue(name);
        if (value) to[i].setAttribute(name, value);
      }
      to[i].removeAttribute('class');
    });
    delete root.dataset.theme;
    copy.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
    copy.removeAttribute('class');
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(copy);
  }

  function save(figure) {
    const svg = figure.querySelector('svg');
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([standalone(svg)], { type: 'image/svg+xml' }));
    link.download = figure.dataset.name + '.svg';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  document.querySelectorAll('button.save').forEach((button) => {
    button.addEventListener('click', () => save(button.closest('figure')));
  });
  document.querySelectorAll('a.all').forEach((link) => link.addEventListener('click', (event) => {
    event.preventDefault();
    document.querySelectorAll('figure').forEach((figure, i) => setTimeout(() => save(figure), 150 * i));
  }));

  function pause(section, on) {
    section.querySelectorAll('.motions svg').forEach((svg) => (on ? svg.pauseAnimations() : svg.unpauseAnimations()));
    section.querySelectorAll('button.pause').forEach((button) => {
      button.setAttribute('aria-pressed', String(on));
      button.textContent = on ? 'Play' : 'Pause';
    });
  }
  document.querySelectorAll('button.pause').forEach((button) => {
    const section = button.closest('section');
    button.addEventListener('click', () => pause(section, button.getAttribute('aria-pressed') !== 'true'));
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) pause(section, true);
  });
})();
