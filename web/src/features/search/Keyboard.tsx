import { useText } from "../../i18n";
import { Icon } from "../../ui/icons";

interface KeyboardProps {
  onType: (character: string) => void;
  onErase: () => void;
  onClear: () => void;
}

/** A keyboard on the screen, for remote controls. */
export function Keyboard({ onType, onErase, onClear }: KeyboardProps) {
  const { t } = useText();
  return (
    <div className="search-keys" role="group" aria-label={t("search.keyboard")} data-focus="grid" data-testid="search-keys">
      {[...t("search.keys")].map((key, index) => (
        <button key={key} type="button" data-focus-id={`search:key-${key}`} data-focus-first={index === 0 ? "" : undefined} onClick={() => onType(key)}>{key}</button>
      ))}
      <button type="button" className="wide" data-focus-id="search:key-space" onClick={() => onType(" ")}>{t("search.space")}</button>
      <button type="button" className="wide" data-focus-id="search:key-erase" aria-label={t("search.erase")} onClick={onErase}><Icon name="erase" /></button>
      <button type="button" className="wide" data-focus-id="search:key-clear" onClick={onClear}>{t("search.clear")}</button>
    </div>
  );
}
