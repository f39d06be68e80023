/** A form that could not be carried out says why above the content, and the page stays as it is. */

interface Answered {
  readonly requestConfig?: { readonly verb: string };
  readonly xhr?: { readonly responseText: string };
}

export function startNotices(): void {
  document.addEventListener('htmx:responseError', (event) => {
    const { requestConfig, xhr } = (event as CustomEvent<Answered>).detail;
    if (requestConfig?.verb !== 'get') show(messageOf(xhr?.responseText ?? ''));
  });
  document.addEventListener('htmx:sendError', (event) => {
    if ((event as CustomEvent<Answered>).detail.requestConfig?.verb !== 'get')
      show('The farm does not answer. Nothing was changed; try again when it does.');
  });
  document.addEventListener('htmx:afterSwap', () => show(''));
}

/** The sentences of the failure, which is JSON or a page. */
function messageOf(body: string): string {
  try {
    const { message, hint } = JSON.parse(body) as { message?: string; hint?: string };
    return [message, hint].filter(Boolean).join('. ');
  } catch {
    return sentencesOf(new DOMParser().parseFromString(body, 'text/html'));
  }
}

function sentencesOf(parsed: Document): string {
  const texts = [...parsed.querySelectorAll('.failure > h1, .failure > p:not(.status, :last-child)')].map(({ textContent }) =>
    textContent.trim(),
  );
  return texts.join('. ') || 'That did not work.';
}

function show(text: string): void {
  const place = document.querySelector('#notice');
  if (!place || (text === '' && place.childElementCount === 0)) return;
  place.replaceChildren();
  if (text === '') return;
  const box = document.createElement('div');
  box.className = 'notice error';
  box.textContent = text;
  place.append(box);
}
