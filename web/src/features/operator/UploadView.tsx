import { type DragEvent, type FormEvent, useRef, useState } from "react";
import { api, getFaults, type IngestRequest, Problem, type TitleEntry } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { paths } from "../../router";
import { Button, LinkButton } from "../../ui/Button";
import { ProblemNote } from "../../ui/Field";
import { useFailureFocus } from "../../ui/form";
import { Icon } from "../../ui/icons";
import { Store, useStore } from "../../ui/store";
import { type Details, type DetailFaults, EMPTY, listReasons, deriveTitle, createIngestRequest, validateDetails } from "./details";
import { TitleFields } from "./TitleFields";
import { UploadLine } from "./UploadLine";
import { FileUpload, type Item, createUploadState } from "./uploads";

let counter = 0;

function startUpload(file: File, kind: Item["kind"], language: string): Item {
  const state = new Store(createUploadState(file.size));
  const upload = new FileUpload(file, state);
  upload.start().catch((error: unknown) => state.set({ phase: "failed", reason: String(error) }));
  return { key: ++counter, kind, upload, state, language, role: "main" };
}

/** The form is kept here, so that uploads continue while other views are shown. */
const form = new Store<{ items: Item[]; details: Details; queued: boolean }>({ items: [], details: EMPTY, queued: false });

export function UploadView() {
  const { t } = useText();
  const { items, details, queued } = useStore(form);
  const film = items.find((item) => item.kind === "film");

  function add(files: FileList | null, kind: Item["kind"]) {
    const added = [...(files ?? [])].map((file) => startUpload(file, kind, details.language));
    const first = kind === "film" ? added[0]?.upload.file.name : undefined;
    form.set({ items: [...items, ...added], details: first && !details.name ? { ...details, name: deriveTitle(first) } : details });
  }
  function drop(item: Item) {
    void item.upload.cancel();
    form.set({ items: items.filter((one) => one !== item) });
  }
  const change = (item: Item, part: Partial<Item>) => form.set({ items: items.map((one) => (one === item ? { ...one, ...part } : one)) });

  if (queued) return <Queued />;
  return (
    <>
      <h1>{t("upload.title")}</h1>
      <p className="operator-lead">{t("upload.lead")}</p>
      {film ? <div className="sheet"><UploadLine item={film} onRemove={() => drop(film)} onChange={(part) => change(film, part)} /></div> : <Chooser onFiles={(files) => add(files, "film")} />}
      {film && <IngestForm items={items} details={details} onAdd={add} onRemove={drop} onChange={change} />}
    </>
  );
}

function Queued() {
  const { t } = useText();
  return (
    <div className="sheet upload-queued" role="status">
      <Icon name="check" size="2.5rem" />
      <h1>{t("upload.queued")}</h1>
      <div className="tools">
        <LinkButton variant="primary" to={`${paths.operator}/jobs`}>{t("upload.toJobs")}</LinkButton>
        <Button onClick={() => form.set({ items: [], details: EMPTY, queued: false })}>{t("upload.again")}</Button>
      </div>
    </div>
  );
}

function Chooser({ onFiles }: { onFiles: (files: FileList | null) => void }) {
  const { t } = useText();
  const [over, setOver] = useState(false);
  const onDrag = (on: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setOver(on);
  };
  return (
    <label className={`chooser ${over ? "over" : ""}`} onDragOver={onDrag(true)} onDragLeave={onDrag(false)} onDrop={(event) => {
      onDrag(false)(event);
      onFiles(event.dataTransfer.files);
    }}>
      <Icon name="upload" size="2.5rem" />
      <span className="chooser-name">{t("upload.choose")}</span>
      <span>{t("upload.drop")}</span>
      <input type="file" accept="video/*,.mkv,.mov,.mxf,.ts,.webm" data-testid="upload-file" onChange={(event) => onFiles(event.target.files)} />
    </label>
  );
}

interface FormProps {
  items: Item[];
  details: Details;
  onAdd: (files: FileList | null, kind: Item["kind"]) => void;
  onRemove: (item: Item) => void;
  onChange: (item: Item, part: Partial<Item>) => void;
}

function IngestForm({ items, details, onAdd, onRemove, onChange }: FormProps) {
  const { t } = useText();
  const titles = useScreen("operator:titles", () => api.operator.listTitles());
  const [problem, setProblem] = useState<unknown>(null);
  const [faults, setFaults] = useState<DetailFaults>({});
  const [busy, setBusy] = useState(false);
  const [formRef, onFailure] = useFailureFocus();
  const sides = items.filter((item) => item.kind !== "film");
  const setDetails = (part: Partial<Details>) => form.set({ details: { ...details, ...part } });

  async function submit(event: FormEvent | null, again = false) {
    event?.preventDefault();
    const found = validateDetails(details);
    setFaults(found);
    setProblem(null);
    if (Object.keys(found).length) return onFailure();
    const body = createIngestRequest(details, items.map((item) => ({ kind: item.kind, uploadId: item.state.get().uploadId, language: item.language, role: item.role })), again);
    if (!body) return;
    setBusy(true);
    await send(body).catch((error: unknown) => {
      setProblem(error);
      onFailure();
    });
    setBusy(false);
  }

  const known = problem instanceof Problem && problem.kind === "already-ingested" ? problem : null;
  const messages = { ...getFaults(problem), ...Object.fromEntries(Object.entries(faults).map(([field, key]) => [field, t(key)])) };
  return (
    <form ref={formRef} className="sheet upload-form" onSubmit={(event) => void submit(event)} noValidate>
      <ProblemNote problem={problem} />
      {known && <Known problem={known} busy={busy} onAgain={() => void submit(null, true)} />}
      {problem instanceof Problem && !known && <ul className="reasons">{listReasons(problem.facts).map((reason) => <li key={reason}>{reason}</li>)}</ul>}
      <TitleFields details={details} titles={titles.data?.items ?? ([] as TitleEntry[])} faults={messages} onChange={setDetails} />
      <fieldset className="sides">
        <legend>{t("upload.sides")}</legend>
        {sides.map((item) => <UploadLine key={item.key} item={item} onRemove={() => onRemove(item)} onChange={(part) => onChange(item, part)} />)}
        <div className="tools">
          <SideButton label={t("upload.addAudio")} accept="audio/*,.ac3,.eac3,.flac,.wav,.m4a,.mka" onFiles={(files) => onAdd(files, "audio")} />
          <SideButton label={t("upload.addSubtitles")} accept=".vtt,.srt,.ass,.ttml" onFiles={(files) => onAdd(files, "subtitles")} />
        </div>
      </fieldset>
      <Submit items={items} busy={busy} />
    </form>
  );
}

/** The title that was made of a file before, and the way to make another. */
function Known({ problem, busy, onAgain }: { problem: Problem; busy: boolean; onAgain: () => void }) {
  const { t } = useText();
  const { name, title_id } = problem.facts;
  return (
    <div className="tools" data-focus="row">
      <LinkButton to={paths.title(String(title_id))} data-testid="upload-existing">{t("upload.existing", { name: String(name) })}</LinkButton>
      <Button busy={busy} data-testid="upload-anyway" onClick={onAgain}>{t("upload.anyway")}</Button>
    </div>
  );
}

async function send(body: IngestRequest): Promise<void> {
  await api.operator.ingest(body);
  form.set({ queued: true });
}

function SideButton({ label, accept, onFiles }: { label: string; accept: string; onFiles: (files: FileList | null) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button icon="plus" onClick={() => input.current?.click()}>{label}</Button>
      <input ref={input} type="file" accept={accept} multiple hidden onChange={(event) => {
        onFiles(event.target.files);
        event.target.value = "";
      }} />
    </>
  );
}

function Submit({ items, busy }: { items: Item[]; busy: boolean }) {
  const { t } = useText();
  const [, tick] = useState(0);
  const ready = items.every((item) => item.state.get().phase === "complete");
  return (
    <div className="upload-submit">
      {items.map((item) => <UploadObserver key={item.key} item={item} onChange={() => tick((count) => count + 1)} />)}
      {!ready && <span>{t("upload.waiting")}</span>}
      <Button type="submit" variant="primary" large disabled={!ready} busy={busy} data-testid="upload-submit">{t("upload.submit")}</Button>
    </div>
  );
}

/** Render the parent again when the phase of an upload changes. */
function UploadObserver({ item, onChange }: { item: Item; onChange: () => void }) {
  const { phase } = useStore(item.state);
  const last = useRef(phase);
  if (last.current !== phase) {
    last.current = phase;
    queueMicrotask(onChange);
  }
  return null;
}

