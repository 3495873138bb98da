import { type DragEvent, type FormEvent, useRef, useState } from "react";
import { api, type IngestRequest, Problem, type Title } from "../../api";
import { useScreen } from "../../api/screens";
import { useText } from "../../i18n";
import { paths } from "../../router";
import { Button, LinkButton } from "../../ui/Button";
import { ProblemNote } from "../../ui/Field";
import { Icon } from "../../ui/icons";
import { Store, useStore } from "../../ui/store";
import { type Details, EMPTY, describeRefusal, toTitleName, toIngest } from "./details";
import { TitleFields } from "./TitleFields";
import { UploadItem } from "./UploadItem";
import { startUpload, type UploadedFile } from "./uploads";

/** The form, which is kept while other views are open. */
const form = new Store<{ items: UploadedFile[]; details: Details; queued: boolean }>({ items: [], details: EMPTY, queued: false });

export function UploadView() {
  const { t } = useText();
  const { items, details, queued } = useStore(form);
  const film = items.find((item) => item.kind === "film");

  function add(files: FileList | null, kind: UploadedFile["kind"]) {
    const added = [...(files ?? [])].map((file) => startUpload(file, kind, details.language));
    const first = kind === "film" ? added[0]?.upload.file.name : undefined;
    form.set({ items: [...items, ...added], details: first && !details.name ? { ...details, name: toTitleName(first) } : details });
  }
  function remove(item: UploadedFile) {
    void item.upload.cancel();
    form.set({ items: items.filter((one) => one !== item) });
  }
  const change = (item: UploadedFile, part: Partial<UploadedFile>) => form.set({ items: items.map((one) => (one === item ? { ...one, ...part } : one)) });

  if (queued) return <Queued />;
  return (
    <>
      <h1>{t("upload.title")}</h1>
      <p className="operator-lead">{t("upload.lead")}</p>
      {film ? <div className="sheet"><UploadItem item={film} remove={() => remove(film)} change={(part) => change(film, part)} /></div> : <Chooser onFiles={(files) => add(files, "film")} />}
      {film && <IngestForm items={items} details={details} add={add} remove={remove} change={change} />}
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
        <LinkButton look="primary" to={`${paths.operator}/jobs`}>{t("upload.toJobs")}</LinkButton>
        <Button onClick={() => form.set({ items: [], details: EMPTY, queued: false })}>{t("upload.again")}</Button>
      </div>
    </div>
  );
}

function Chooser({ onFiles }: { onFiles: (files: FileList | null) => void }) {
  const { t } = useText();
  const [isDraggedOver, setDraggedOver] = useState(false);
  const drag = (on: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setDraggedOver(on);
  };
  return (
    <label className={`chooser ${isDraggedOver ? "over" : ""}`} onDragOver={drag(true)} onDragLeave={drag(false)} onDrop={(event) => {
      drag(false)(event);
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
  items: UploadedFile[];
  details: Details;
  add: (files: FileList | null, kind: UploadedFile["kind"]) => void;
  remove: (item: UploadedFile) => void;
  change: (item: UploadedFile, part: Partial<UploadedFile>) => void;
}

function IngestForm({ items, details, add, remove, change }: FormProps) {
  const { t } = useText();
  const titles = useScreen("operator:titles", () => api.operator.titles());
  const [problem, setProblem] = useState<unknown>(null);
  const [nameError, setNameError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const extras = items.filter((item) => item.kind !== "film");
  const set = (part: Partial<Details>) => form.set({ details: { ...details, ...part } });

  async function submit(event: FormEvent) {
    event.preventDefault();
    const missing = !details.titleId && !details.name.trim();
    setNameError(missing ? t("check.name") : undefined);
    const body = toIngest(details, items.map((item) => ({ kind: item.kind, uploadId: item.state.get().uploadId, language: item.language, role: item.role })));
    if (missing || !body) return;
    setBusy(true);
    setProblem(null);
    await send(body).catch(setProblem);
    setBusy(false);
  }

  return (
    <form className="sheet upload-form" onSubmit={submit} noValidate>
      <ProblemNote problem={problem} />
      {problem instanceof Problem && <ul className="reasons">{describeRefusal(problem.facts).map((reason) => <li key={reason}>{reason}</li>)}</ul>}
      <TitleFields details={details} titles={titles.data?.items ?? ([] as Title[])} nameError={nameError} set={set} />
      <fieldset className="sides">
        <legend>{t("upload.sides")}</legend>
        {extras.map((item) => <UploadItem key={item.key} item={item} remove={() => remove(item)} change={(part) => change(item, part)} />)}
        <div className="tools">
          <FileButton label={t("upload.addAudio")} accept="audio/*,.ac3,.eac3,.flac,.wav,.m4a,.mka" onFiles={(files) => add(files, "audio")} />
          <FileButton label={t("upload.addSubtitles")} accept=".vtt,.srt,.ass,.ttml" onFiles={(files) => add(files, "subtitles")} />
        </div>
      </fieldset>
      <Submit items={items} busy={busy} />
    </form>
  );
}

async function send(body: IngestRequest): Promise<void> {
  await api.operator.ingest(body);
  form.set({ queued: true });
}

function FileButton({ label, accept, onFiles }: { label: string; accept: string; onFiles: (files: FileList | null) => void }) {
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

function Submit({ items, busy }: { items: UploadedFile[]; busy: boolean }) {
  const { t } = useText();
  const [, rerender] = useState(0);
  const ready = items.every((item) => item.state.get().phase === "complete");
  return (
    <div className="upload-submit">
      {items.map((item) => <WatchPhase key={item.key} item={item} onChange={() => rerender((count) => count + 1)} />)}
      {!ready && <span>{t("upload.waiting")}</span>}
      <Button type="submit" look="primary" large disabled={!ready} busy={busy} data-testid="upload-submit">{t("upload.submit")}</Button>
    </div>
  );
}

/** Renders its parent again when the phase of an upload changes. */
function WatchPhase({ item, onChange }: { item: UploadedFile; onChange: () => void }) {
  const { phase } = useStore(item.state);
  const previous = useRef(phase);
  if (previous.current !== phase) {
    previous.current = phase;
    queueMicrotask(onChange);
  }
  return null;
}

