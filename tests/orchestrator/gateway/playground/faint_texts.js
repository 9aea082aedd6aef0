// Returns the texts whose contrast with what they stand on is below 4.5 (WCAG 2.2, 1.4.3); disabled controls may.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

  // Colours come in any notation: the canvas paints one over another and tells what is seen.
  const over = (color, ground) => {
    for (const paint of [ground, color]) {
      canvas.fillStyle = paint;
      canvas.fillRect(0, 0, 1, 1);
    }
    return `rgb(${[...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).join(" ")})`;
  };

  const groundOf = (one) =>
    one === null ? "white" : over(getComputedStyle(one).backgroundColor, groundOf(one.parentElement));

  const luminance = (color) => {
    const [red, green, blue] = color
      .match(/\d+/g)
      .map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };

  const hasText = (one) => [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());

  return [...document.querySelectorAll("body *")]
    .filter((one) => hasText(one) && one.checkVisibility() && !one.disabled && !one.closest(".unseen, .skip"))
    .map((one) => {
      const ground = groundOf(one);
      const color = over(getComputedStyle(one).color, ground);
      const [low, high] = [luminance(color), luminance(ground)].sort((some, other) => some - other);
      return { text: one.textContent.slice(0, 30), color, ground, contrast: (high + 0.05) / (low + 0.05) };
    })
    .filter(({ contrast }) => contrast < 4.5);
}
