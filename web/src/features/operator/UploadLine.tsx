import { useText } from "../../i18n";
import { Button, IconButton } from "../../ui/Button";
import { Choice } from "../../ui/Field";
import { useStore } from "../../ui/store";
import { LanguageField } from "./TitleFields";
import type { Item } from "./uploads";

interface LineProps {
  item: Item;
  onRemove: () => void;
  onChange: (part: Partial<Item>) => void;
}

const ROLES = { audio: ["main", "commentary", "description"], subtitles: ["main", "caption", "forced"] } as const;

/** A file that is being uploaded. */
export function UploadLine({ item, onRemove, onChange }: LineProps) {
  const text = useText();
  const { t } = text;
  const state = useStore(item.state);
  const percent = state.totalBytes ? (state.doneBytes / state.totalBytes) * 100 : 0;
  const left = state.bps > 0 ? text.formatDuration(((state.totalBytes - state.doneBytes) * 8000) / state.bps) : "–";
  const sizes = { done: text.formatSize(state.doneBytes), total: text.formatSize(state.totalBytes) };
  const line = {
    running: t("upload.progress", { ...sizes, rate: text.formatRate(state.bps), left }),
    paused: t("upload.paused", sizes),
    complete: t("upload.complete", sizes),
    failed: t("upload.failed", { reason: state.isRefusedByProxy ? t("upload.proxyLimit") : state.reason }),
  }[state.phase];
  return (
    <div className={`upload-line ${state.phase}`} data-testid="upload" data-phase={state.phase}>
      <div className="upload-head">
        <strong>{item.upload.file.name}</strong>
        {state.phase === "running" && <Button variant="quiet" icon="pause" onClick={() => void item.upload.pause()}>{t("upload.pause")}</Button>}
        {(state.phase === "paused" || state.phase === "failed") && <Button variant="quiet" icon="play" onClick={() => item.upload.resume()}>{t("upload.resume")}</Button>}
        <IconButton icon="close" label={t("upload.cancel")} onClick={onRemove} />
      </div>
      <span className="step-bar" role="progressbar" aria-label={item.upload.file.name} aria-valuenow={Math.round(percent)} aria-valuemin={0} aria-valuemax={100}><span style={{ width: `${percent}%` }} /></span>
      <p className="upload-state">{line}</p>
      {item.kind !== "film" && (
        <div className="pair">
          <LanguageField label={t("upload.language")} value={item.language} onChange={(language) => onChange({ language })} />
          <Choice label={t("upload.role")} value={item.role} options={ROLES[item.kind].map((role) => ({ value: role as string, label: roleName(role, text.find) }))} onChange={(role) => onChange({ role })} />
        </div>
      )}
    </div>
  );
}

const roleName = (role: string, known: (key: string) => string | null) => known(`player.${role}`) ?? known("player.normal") ?? role;
