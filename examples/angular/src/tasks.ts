import { Component, computed, signal } from "@angular/core";
import { DatePipe } from "@angular/common";
import { ProblemError, TaskHub, type TaskItem } from "taskhub-client";

const NEWEST = 20;

/** Lists the newest tasks and creates new ones. The token stays in this page's memory. */
@Component({
  selector: "app-tasks",
  imports: [DatePipe],
  template: `
    <h1>Tasks</h1>
    <form (submit)="connect($event)">
      <label for="url">TaskHub</label>
      <input id="url" type="url" required [value]="url()" (input)="url.set($any($event.target).value)">
      <label for="token">Token</label>
      <input id="token" type="password" required autocomplete="off" (input)="token.set($any($event.target).value)">
      <button>Show tasks</button>
    </form>
    <form (submit)="create($event)">
      <label for="title">New task</label>
      <input id="title" required maxlength="200" [value]="title()" (input)="title.set($any($event.target).value)">
      <button [disabled]="busy()">Create</button>
    </form>
    @if (trouble()) { <p role="alert">{{ trouble() }}</p> }
    <table>
      <thead><tr><th>Title</th><th>Status</th><th>Created</th></tr></thead>
      <tbody>
        @for (task of tasks(); track task.id) {
          <tr><td>{{ task.title }}</td><td>{{ task.status }}</td><td>{{ task.createdAt | date: "medium" }}</td></tr>
        } @empty {
          <tr><td colspan="3">None yet.</td></tr>
        }
      </tbody>
    </table>
  `,
})
export class Tasks {
  readonly url = signal("http://127.0.0.1:8080");
  readonly token = signal("");
  readonly title = signal("");
  readonly tasks = signal<TaskItem[]>([]);
  readonly trouble = signal("");
  readonly busy = signal(false);

  private readonly hub = computed(() => new TaskHub({ url: this.url(), token: () => this.token() }));

  connect(event: Event): Promise<void> {
    return this.attempt(event, () => this.load());
  }

  create(event: Event): Promise<void> {
    return this.attempt(event, async () => {
      await this.hub().create({ title: this.title() });
      this.title.set("");
      await this.load();
    });
  }

  private async load(): Promise<void> {
    const page = await this.hub().request("get", "/tasks", { query: { limit: NEWEST } });
    this.tasks.set(page.items);
  }

  private async attempt(event: Event, act: () => Promise<void>): Promise<void> {
    event.preventDefault();
    this.busy.set(true);
    this.trouble.set("");
    try {
      await act();
    } catch (error) {
      this.trouble.set(explained(error));
    } finally {
      this.busy.set(false);
    }
  }
}

function explained(error: unknown): string {
  if (!(error instanceof ProblemError)) return `TaskHub cannot be reached: ${error}`;
  if (error.is("urn:taskhub:problem:invalid")) {
    return error.problem.errors?.map(({ pointer, detail }) => `${pointer}: ${detail}`).join("; ") ?? error.message;
  }
  return error.problem.detail;
}
