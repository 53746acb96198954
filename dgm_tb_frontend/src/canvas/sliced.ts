/** A surface whose picture takes long to draw: drawn in slices between other tasks, shown when it is whole. */

/** Milliseconds a slice; with the browser's own work for it a task stays beneath 50 ms on two slow cores. */
const SLICE = 6;

/** Draws until it yields, and goes on later from there. */
export type Painter = (surface: SlicedSurface, context: CanvasRenderingContext2D) => Generator<void, void>;

/**
 * Two canvases that fill their parent: one shows the last whole picture while the next is drawn on the other. What is
 * asked for meanwhile is drawn afterwards, so that a stream of changes never keeps a picture from being finished.
 */
export class SlicedSurface {
  width = 0;
  height = 0;
  /** Width of one device pixel: hairlines are stroked with it, for wider ones cost three times as much. */
  hairline = 1;
  private readonly canvases: [HTMLCanvasElement, HTMLCanvasElement];
  private readonly observer: ResizeObserver;
  private readonly channel = new MessageChannel();
  private job: Generator<void, void> | null = null;
  private wanted = false;
  private frame = 0;

  constructor(private readonly parent: HTMLElement, private readonly paint: Painter) {
    this.canvases = [0, 1].map((shown) => {
      const canvas = document.createElement("canvas");
      canvas.className = "surface";
      canvas.style.opacity = String(1 - shown);
      parent.append(canvas);
      return canvas;
    }) as [HTMLCanvasElement, HTMLCanvasElement];
    this.channel.port1.onmessage = () => this.slice();
    this.observer = new ResizeObserver(() => this.measure() && this.invalidate());
    this.observer.observe(parent);
    this.measure();
    this.invalidate();
  }

  /** Whether what is shown is not yet what was asked for. */
  get drawing(): boolean {
    return this.job !== null || this.frame !== 0;
  }

  /** Begins a new picture in the next animation frame, or when the present one is finished. */
  invalidate(): void {
    if (this.job) this.wanted = true;
    else this.frame ||= requestAnimationFrame(() => this.begin());
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.channel.port1.close();
    this.canvases.forEach((canvas) => canvas.remove());
  }

  private measure(): boolean {
    const hairline = 1 / (window.devicePixelRatio || 1);
    const { clientWidth, clientHeight } = this.parent;
    const changed = clientWidth !== this.width || clientHeight !== this.height || hairline !== this.hairline;
    [this.width, this.height, this.hairline] = [clientWidth, clientHeight, hairline];
    return changed;
  }

  private begin(): void {
    this.frame = 0;
    const canvas = this.canvases[1];
    const context = canvas.getContext("2d");
    if (!context || !this.width || !this.height) return;
    [canvas.width, canvas.height] = [this.width, this.height].map((size) => Math.round(size / this.hairline)) as [number, number];
    context.setTransform(1 / this.hairline, 0, 0, 1 / this.hairline, 0, 0);
    this.job = this.paint(this, context);
    this.slice();
  }

  private slice(): void {
    if (!this.job) return;
    const end = performance.now() + SLICE;
    do {
      if (this.job.next().done) return this.show();
    } while (performance.now() < end);
    this.channel.port2.postMessage(null);
  }

  private show(): void {
    this.job = null;
    this.canvases.reverse();
    this.canvases.forEach((canvas, k) => (canvas.style.opacity = String(1 - k)));
    if (this.wanted) ((this.wanted = false), this.invalidate());
  }
}
