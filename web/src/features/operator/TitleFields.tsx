import { useId } from "react";
import type { TitleEntry } from "../../api";
import { useText } from "../../i18n";
import { formatEpisode } from "../../ui/Card";
import { Choice, Field } from "../../ui/Field";
import { type Details, YEARS } from "./details";

const AGES = ["0", "6", "12", "16", "18"];

interface FieldsProps {
  details: Details;
  titles: TitleEntry[];
  /** The messages of the invalid fields, by their names in the request. */
  faults: Record<string, string | undefined>;
  onChange: (part: Partial<Details>) => void;
}

export function TitleFields({ details, titles, faults, onChange }: FieldsProps) {
  const { t } = useText();
  const id = useId();
  return (
    <>
      <TargetField details={details} titles={titles} onChange={onChange} />
      {!details.titleId && (
        <>
          <Field label={t("upload.name")} value={details.name} error={faults.name} data-testid="upload-name" onChange={(event) => onChange({ name: event.target.value })} />
          <div className="field">
            <label htmlFor={id}>{t("upload.synopsis")}</label>
            <textarea id={id} value={details.synopsis} onChange={(event) => onChange({ synopsis: event.target.value })} />
          </div>
          <div className="pair">
            <Field label={t("upload.year")} type="number" inputMode="numeric" min={YEARS.min} max={YEARS.max} value={details.year} error={faults.year} data-testid="upload-year" onChange={(event) => onChange({ year: event.target.value })} />
            <Field label={t("upload.genres")} hint={t("upload.genresHint")} value={details.genres} error={faults.genre_ids} onChange={(event) => onChange({ genres: event.target.value })} />
          </div>
          <Choice label={t("upload.maturity")} value={details.maturity} options={AGES.map((value) => ({ value, label: value }))} onChange={(maturity) => onChange({ maturity })} />
        </>
      )}
      <LanguageField label={t("upload.language")} value={details.language} onChange={(language) => onChange({ language })} />
    </>
  );
}

function TargetField({ details, titles, onChange }: Omit<FieldsProps, "faults">) {
  const text = useText();
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{text.t("upload.into")}</label>
      <select id={id} value={`${details.titleId}|${details.episodeId}`} data-testid="upload-into" onChange={(event) => {
        const [titleId = "", episodeId = ""] = event.target.value.split("|");
        onChange({ titleId, episodeId });
      }}>
        <option value="|">{text.t("upload.newFilm")}</option>
        {titles.map((title) =>
          title.kind === "film"
            ? <option key={title.title_id} value={`${title.title_id}|`}>{text.localise(title.names)}</option>
            : (
              <optgroup key={title.title_id} label={text.localise(title.names)}>
                {title.episodes.map((episode) => <option key={episode.episode_id} value={`${title.title_id}|${episode.episode_id}`}>{formatEpisode(episode.season_number, episode.number, text)} · {text.localise(episode.names)}</option>)}
              </optgroup>
            ),
        )}
      </select>
    </div>
  );
}

const COMMON = ["en", "de", "fr", "es", "it", "nl", "pl", "pt", "sv", "tr", "ru", "uk", "el", "ar", "hi", "ja", "ko", "zh", "und"];

export function LanguageField({ label, value, onChange }: { label: string; value: string; onChange: (language: string) => void }) {
  const text = useText();
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.target.value)}>
        {COMMON.map((tag) => <option key={tag} value={tag}>{text.getLanguageName(tag)}</option>)}
      </select>
    </div>
  );
}
