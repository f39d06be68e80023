/**
 * Files that are chosen or dropped go to the machine one after the other, each as the body of one request, with their progress. Without this
 * script the form sends them.
 */
export function startUploads(): void {
  document.addEventListener('submit', (event) => {
    const form = event.target instanceof HTMLFormElement && event.target.dataset['upload'] !== undefined ? event.target : null;
    if (!form) return;
    event.preventDefault();
    const { files } = form.elements.namedItem('file') as HTMLInputElement;
    void uploadAll(form, [...(files ?? [])]);
  });
  for (const kind of ['dragover', 'drop'] as const) {
    document.addEventListener(kind, (event) => {
      const place = event.target instanceof Element ? event.target.closest('#files') : null;
      const form = place?.querySelector<HTMLFormElement>('form[data-upload]');
      if (!form || !event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      if (kind === 'drop') void uploadAll(form, [...event.dataTransfer.files]);
    });
  }
  document.addEventListener('htmx:afterSettle', renew);
  renew();
}

let busy = false;
/** How the last one went, which is told below the list of its directory also when that was fetched anew. */
let told = { dir: '', text: '' };

function renew(): void {
  const form = document.querySelector<HTMLFormElement>('#files form[data-upload]');
  form?.querySelector('.drop')?.removeAttribute('hidden');
  const state = form?.querySelector('[role="status"]');
  if (state && !busy && form?.dataset['dir'] === told.dir) state.textContent = told.text;
}

async function uploadAll(form: HTMLFormElement, files: readonly File[]): Promise<void> {
  const state = form.querySelector('[role="status"]');
  const bar = form.querySelector('progress');
  if (!state || !bar || busy || files.length === 0) return;
  busy = true;
  bar.hidden = false;
  const all = files.reduce((sum, { size }) => sum + size, 0) || 1;
  let [sent, name] = [0, ''];
  try {
    for (const [at, file] of files.entries()) {
      name = file.name;
      state.textContent = `sending ${file.name} (${at + 1} of ${files.length})`;
      await send(addressOf(form, file.name), file, (bytes) => (bar.value = (sent + bytes) / all));
      sent += file.size;
    }
    state.textContent = `sent ${files.length === 1 ? name : `${files.length} files`}`;
    form.reset();
  } catch (error) {
    state.textContent = `${name} was not sent: ${error instanceof Error ? error.message : 'that did not work'}`;
  } finally {
    busy = false;
    bar.hidden = true;
  }
  told = { dir: form.dataset['dir'] ?? '', text: state.textContent };
  form.closest('#files')?.dispatchEvent(new CustomEvent('croft:files'));
}

function addressOf({ dataset: { upload = '', dir = '' } }: HTMLFormElement, name: string): string {
  return `${upload}?${new URLSearchParams({ path: dir === '' ? name : `${dir}/${name}`, mode: String(0o644) }).toString()}`;
}

/** By the older way: `fetch` tells nothing of what was sent. */
function send(address: string, file: File, progress: (bytes: number) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', address);
    request.setRequestHeader('content-type', 'application/octet-stream');
    request.upload.addEventListener('progress', ({ loaded }) => progress(loaded));
    request.addEventListener('error', () => reject(new Error('the connection was lost; send it again')));
    request.addEventListener('load', () => (request.status < 300 ? resolve() : reject(new Error(whyOf(request)))));
    request.send(file);
  });
}

function whyOf({ status, responseText }: XMLHttpRequest): string {
  try {
    const { message, hint } = JSON.parse(responseText) as { message?: string; hint?: string };
    return [message, hint].filter(Boolean).join('. ');
  } catch {
    return responseText.slice(0, 300) || `refused (${status})`;
  }
}
