/** A canvas that fills its parent at the screen's resolution and redraws when its size changes. */

export class Surface {
  readonly canvas: HTMLCanvasElement;
  width = 0;
  height = 0;
  /** Width of one device pixel: hairlines are stroked with it, for wider ones cost three times as much. */
  hairline = 1;
  private readonly observer: ResizeObserver;
  private frame = 0;

  constructor(private readonly parent: HTMLElement, private readonly paint: (surface: Surface, context: CanvasRenderingContext2D) => void) {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "surface";
    parent.append(this.canvas);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(parent);
    this.resize();
  }

  /** Draws in the next animation frame, once however often it is asked. */
  invalidate(): void {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.canvas.remove();
  }

  private resize(): void {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.parent;
    if (clientWidth === this.width && clientHeight === this.height && this.hairline === 1 / ratio) return;
    [this.width, this.height, this.hairline] = [clientWidth, clientHeight, 1 / ratio];
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    // Resizing wipes a canvas: drawing at once keeps a drag of the window's edge free of flicker.
    this.draw();
  }

  private draw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const context = this.canvas.getContext("2d");
    if (!context || !this.width || !this.height) return;
    context.setTransform(1 / this.hairline, 0, 0, 1 / this.hairline, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    this.paint(this, context);
  }
}
