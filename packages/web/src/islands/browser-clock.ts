/** The browser's clock and timers, the one place of the islands that touches them; `now` is the server's time as the page knew it. */

const root = document.documentElement;
/** When the answer with this page came, however long its scripts took to load after it. */
const [answer] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
const arrivedAt = performance.timeOrigin + (answer?.responseStart ?? performance.now());
const skewMs = Number(root.dataset['now'] ?? arrivedAt) - arrivedAt;

/** Epoch ms by the server's clock, so that a wrong clock at the reader shows no wrong ages. */
export function now(): number {
  return Date.now() + skewMs;
}

/** Calls `tick` now and every `ms` while somebody looks at the page. */
export function everyWhileVisible(ms: number, tick: () => void): void {
  const run = (): void => {
    if (!document.hidden) tick();
  };
  setInterval(run, ms);
  document.addEventListener('visibilitychange', run);
  run();
}

/** Calls `task` after `ms`; returns how to call it off. */
export function after(ms: number, task: () => void): () => void {
  const timer = setTimeout(task, ms);
  return () => clearTimeout(timer);
}

/** At most one call per `ms`: the first at once, the last always. */
export function atMostEvery(ms: number, task: () => void): () => void {
  let waiting = false;
  let again = false;
  return function call(): void {
    if (waiting) {
      again = true;
      return;
    }
    waiting = true;
    task();
    after(ms, () => {
      waiting = false;
      if (!again) return;
      again = false;
      call();
    });
  };
}

/** At most one call per frame. */
export function oncePerFrame(task: () => void): () => void {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      task();
    });
  };
}
