// Points and cameras by WebGL. SCENE: base64 of float32 positions (z is up, the scene is about 1 large) and of colours,
// cameras with their centre and the corners of their picture, links of two cameras with a weight in [0, 1].
(() => {
  const box = document.querySelector(".scene"), canvas = box.querySelector("canvas"), card = box.querySelector(".card");
  const gl = canvas.getContext("webgl", { antialias: true });
  if (!gl) { box.textContent = "This browser has no WebGL, which the three-dimensional view needs."; return; }
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const shader = (kind, source) => { const s = gl.createShader(kind); gl.shaderSource(s, source); gl.compileShader(s); return s; };
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl.VERTEX_SHADER, `attribute vec3 p; attribute vec4 c; uniform mat4 m; uniform float s;
    varying vec4 v; void main() { gl_Position = m * vec4(p, 1.0); gl_PointSize = clamp(s / gl_Position.w, 1.0, 24.0); v = c; }`));
  gl.attachShader(program, shader(gl.FRAGMENT_SHADER, `precision mediump float; varying vec4 v; uniform float round;
    void main() { if (round > 0.5 && length(gl_PointCoord - 0.5) > 0.5) discard; gl_FragColor = v; }`));
  gl.linkProgram(program); gl.useProgram(program);
  const at = { p: gl.getAttribLocation(program, "p"), c: gl.getAttribLocation(program, "c") };
  const u = Object.fromEntries(["m", "s", "round"].map((n) => [n, gl.getUniformLocation(program, n)]));
  const upload = (data) => { const b = gl.createBuffer(); gl.bindBuffer(gl.ARRAY_BUFFER, b); gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW); return b; };
  const mesh = (positions, colours) => ({ p: upload(positions), c: upload(colours), n: positions.length / 3 });
  const rgb = bytes(SCENE.colours), rgba = new Uint8Array((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length / 3; i++) rgba.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
  const points = mesh(new Float32Array(bytes(SCENE.points).buffer), rgba);

  const frames = (chosen) => {  // a pyramid of eight lines for each camera
    const xyz = [], colour = [];
    SCENE.cameras.forEach((camera, i) => camera.corners.forEach((corner, k) => {
      xyz.push(...camera.centre, ...corner, ...corner, ...camera.corners[(k + 1) % 4]);
      const own = i === chosen ? [255, 193, 7, 255] : camera.found === false ? [150, 165, 180, 120] : [255, 110, 80, 210];
      for (let n = 0; n < 4; n++) colour.push(...own);
    }));
    return mesh(new Float32Array(xyz), new Uint8Array(colour));
  };
  const linked = SCENE.links.flatMap(([a, b]) => [...SCENE.cameras[a].centre, ...SCENE.cameras[b].centre]);
  const shades = SCENE.links.flatMap(([, , weight]) => { const one = [80, 200, 190, 40 + 180 * weight]; return [...one, ...one]; });
  const links = mesh(new Float32Array(linked), new Uint8Array(shades));
  let cameras = frames(-1);
  // From behind the cameras, and a little to the side.
  const mean = [0, 1].map((k) => SCENE.cameras.reduce((sum, camera) => sum + camera.centre[k], 0));
  const start = { yaw: Math.atan2(mean[1], mean[0]) + 0.5, pitch: 0.5, distance: 2.8, target: [0, 0, 0] };
  let view = structuredClone(start), size = 2.5, m = new Float32Array(16), pending = false;
  const show = { cameras: true, links: false };

  const sub = (a, b) => a.map((x, i) => x - b[i]), dot = (a, b) => a.reduce((s, x, i) => s + x * b[i], 0);
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => a.map((x) => x / Math.hypot(...a));
  const axes = () => {
    const { yaw, pitch } = view;
    const back = [Math.cos(pitch) * Math.cos(yaw), Math.cos(pitch) * Math.sin(yaw), Math.sin(pitch)];
    const right = unit(cross([0, 0, 1], back));
    return { right, up: cross(back, right), back };
  };
  const eye = () => view.target.map((t, i) => t + view.distance * axes().back[i]);
  function matrix(aspect) {
    const { right, up, back } = axes(), e = eye(), focal = 1.7, near = view.distance / 100, far = view.distance + 200;
    const rows = [right.map((x) => x * focal * Math.min(1, 1 / aspect)), up.map((y) => y * focal * Math.min(1, aspect))];
    const z = -(far + near) / (far - near), w = (-2 * far * near) / (far - near);
    for (let k = 0; k < 3; k++) m.set([rows[0][k], rows[1][k], z * back[k], -back[k]], 4 * k);
    m.set([-dot(rows[0], e), -dot(rows[1], e), -z * dot(back, e) + w, dot(back, e)], 12);
  }
  function bind({ p, c }) {
    gl.bindBuffer(gl.ARRAY_BUFFER, p); gl.enableVertexAttribArray(at.p); gl.vertexAttribPointer(at.p, 3, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, c); gl.enableVertexAttribArray(at.c); gl.vertexAttribPointer(at.c, 4, gl.UNSIGNED_BYTE, true, 0, 0);
  }
  function draw() {
    pending = false;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth * ratio, height = canvas.clientHeight * ratio;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.viewport(0, 0, width, height); gl.clearColor(0.063, 0.086, 0.106, 1); gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST); gl.enable(gl.BLEND); gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    matrix(width / height);
    gl.uniformMatrix4fv(u.m, false, m); gl.uniform1f(u.s, size * ratio * start.distance); gl.uniform1f(u.round, 1);
    bind(points); gl.drawArrays(gl.POINTS, 0, points.n);
    gl.uniform1f(u.round, 0);
    if (show.cameras) { bind(cameras); gl.drawArrays(gl.LINES, 0, cameras.n); }
    if (show.links) { bind(links); gl.drawArrays(gl.LINES, 0, links.n); }
  }
  const redraw = () => { if (!pending) { pending = true; requestAnimationFrame(draw); } };

  function choose(i) {
    cameras = frames(i); card.hidden = i < 0;
    document.querySelectorAll("tr.chosen").forEach((row) => row.classList.remove("chosen"));
    if (i >= 0) {
      const { image, name } = SCENE.cameras[i], row = document.getElementById(`image-${image}`);
      const picture = row && row.querySelector("img");
      card.replaceChildren(...(picture ? [picture.cloneNode()] : []), row ? row.dataset.card : name);
      if (row) row.classList.add("chosen");
    }
    redraw();
  }
  function pick(x, y) {  // the camera whose centre is nearest on the screen
    let best = -1, nearest = 18;
    SCENE.cameras.forEach(({ centre: [a, b, c] }, i) => {
      const at = (k) => m[k] * a + m[4 + k] * b + m[8 + k] * c + m[12 + k], w = at(3);
      const away = Math.hypot(((at(0) / w + 1) / 2) * canvas.clientWidth - x, ((1 - at(1) / w) / 2) * canvas.clientHeight - y);
      if (w > 0 && away < nearest) { nearest = away; best = i; }
    });
    choose(best);
  }
  function pan(dx, dy) {
    const { right, up } = axes(), step = view.distance / canvas.clientHeight * 1.2;
    view.target = view.target.map((t, i) => t + step * (up[i] * dy - right[i] * dx));
  }
  const fingers = new Map(); let moved = 0;
  canvas.onpointerdown = (e) => { canvas.setPointerCapture(e.pointerId); fingers.set(e.pointerId, [e.clientX, e.clientY]); moved = 0; };
  canvas.onpointermove = (e) => {
    const before = fingers.get(e.pointerId);
    if (!before) return;
    const dx = e.clientX - before[0], dy = e.clientY - before[1], other = [...fingers].find(([id]) => id !== e.pointerId);
    moved += Math.abs(dx) + Math.abs(dy);
    if (other) {
      const gap = (p) => Math.hypot(p[0] - other[1][0], p[1] - other[1][1]);
      view.distance *= gap(before) / Math.max(1, gap([e.clientX, e.clientY])); pan(dx / 2, dy / 2);
    } else if (e.buttons & 2 || e.shiftKey) pan(dx, dy);
    else { view.yaw -= dx * 0.006; view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + dy * 0.006)); }
    fingers.set(e.pointerId, [e.clientX, e.clientY]); redraw();
  };
  canvas.onpointerup = (e) => { fingers.delete(e.pointerId); const r = canvas.getBoundingClientRect(); if (moved < 5) pick(e.clientX - r.left, e.clientY - r.top); };
  canvas.onpointercancel = (e) => fingers.delete(e.pointerId);
  canvas.oncontextmenu = (e) => e.preventDefault();
  canvas.onwheel = (e) => { e.preventDefault(); view.distance *= Math.exp(e.deltaY * 0.001); redraw(); };
  box.querySelectorAll("[data-show]").forEach((input) => (input.onchange = () => { show[input.dataset.show] = input.checked; redraw(); }));
  box.querySelector("[data-size]").oninput = (e) => { size = +e.target.value; redraw(); };
  box.querySelector("[data-reset]").onclick = () => { view = structuredClone(start); choose(-1); };
  document.querySelectorAll("tbody tr").forEach((row) => (row.onclick = () => choose(SCENE.cameras.findIndex((c) => c.image === +row.dataset.index))));
  new ResizeObserver(redraw).observe(canvas);
})();
