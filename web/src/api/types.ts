/** The types of the public API, named as on the server; `npm run types` generates the schema from openapi.json. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Localised = Record<string, string>;
export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export type Session = Schemas["Session"];
export type ProfileView = Schemas["ProfileView"];
export type NewProfile = Schemas["NewProfile"];
export type ProfileChange = Schemas["ProfileChange"];
export type Proof = Schemas["Proof"];
export type NewPassword = Schemas["NewPassword"];
export type DeviceInfo = Schemas["DeviceInfo"];
export type SignUp = Schemas["SignUp"];
export type SignIn = Schemas["SignIn"];
export type DeviceView = Schemas["DeviceView"];
export type Picture = Schemas["Picture"];
export type Pictures = Schemas["Pictures"];
export type Progress = Schemas["Progress"];
export type GenreView = Schemas["GenreView"];
export type Card = Schemas["Card"];
export type Row = Schemas["Row"];
export type Billboard = Schemas["Billboard"];
export type HomeScreen = Schemas["HomeScreen"];
export type GenreScreen = Schemas["GenreScreen"];
export type CreditView = Schemas["CreditView"];
export type EpisodeView = Schemas["EpisodeView"];
export type SeasonView = Schemas["SeasonView"];
export type TitleScreen = Schemas["TitleScreen"];
export type HistoryEntry = Schemas["HistoryEntry"];
export type HistoryScreen = Schemas["HistoryScreen"];
export type Capabilities = Schemas["Capabilities"];
export type PlayRequest = Schemas["PlayRequest"];
export type Delivery = Schemas["Delivery"];
export type ThumbnailSheets = Schemas["ThumbnailSheets"];
export type NextUp = Schemas["NextUp"];
export type AudioChoice = Schemas["AudioChoice"];
export type TextChoice = Schemas["TextChoice"];
export type PlaySession = Schemas["PlaySession"];
export type Renewal = Schemas["Renewal"];
export type Heartbeat = Schemas["Heartbeat"];
export type Step = Schemas["Step"];
export type Job = Schemas["Job"];
export type Genre = Schemas["Genre"];
export type Title = Schemas["Title"];
export type IngestSide = Schemas["IngestSide"];
export type IngestRequest = Schemas["IngestRequest"];
export type IngestAnswer = Schemas["IngestAnswer"];
export type ServiceView = Schemas["ServiceView"];
export type Edge = Schemas["Edge"];
export type HeartbeatState = Heartbeat["state"];
export type JobState = Job["state"];
export type AuthOptions = Schemas["AuthOptions"];
export type Account = Schemas["Account"];
export type NewAccount = Schemas["NewAccount"];
export type AccountWithPassword = Schemas["AccountWithPassword"];
export type AccountScreen = Schemas["AccountScreen"];
export type Device = Schemas["Device"];
export type EndedSignIns = Schemas["EndedSignIns"];
export type AuditEntry = Schemas["AuditEntry"];
